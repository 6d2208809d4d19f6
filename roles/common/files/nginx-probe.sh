# shellcheck shell=sh
# Says how the host is now, for the role to decide by; changes nothing.
# $1 port, $2 folder of our certificates, $3 and $4 given certificate and key on this host ('' if there are none), $5 the site and $6 its folder,
# then packages.
command -v ss > /dev/null || {
    echo "This host has no program ss, which tells who listens on a port: install iproute2." >&2
    exit 1
}
echo '== nginx'
command -v /usr/sbin/nginx
echo '== service'
systemctl is-active nginx.service
systemctl is-enabled nginx.service 2> /dev/null
echo '== listeners'
ss --no-header --listening --tcp --numeric --processes "sport = :$1"
echo '== unapplied'
# Files that are newer than the workers, by more than the two seconds by which these numbers may be off: a run was cut off before its reload.
worker=$(pgrep --newest --parent "$(cat /run/nginx.pid 2> /dev/null || echo 0)" 2> /dev/null)
if [ -n "$worker" ]; then
    since=$(($(date +%s) - $(ps -o etimes= -p "$worker") + 2))
    find "$5" "$6" "$2" -type f -newermt "@$since" 2> /dev/null
fi
echo '== sites'
ls -d /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/* 2> /dev/null
echo '== default_site'
# The distribution's own site, as its package brought it?
digest=$(dpkg-query --show --showformat '${Conffiles}\n' nginx-common 2> /dev/null | sed -n 's|^ /etc/nginx/sites-available/default ||p')
if [ "$(readlink -f /etc/nginx/sites-enabled/default)" = /etc/nginx/sites-available/default ] &&
    echo "$digest  /etc/nginx/sites-available/default" | md5sum --check --status 2> /dev/null; then
    echo untouched
fi
echo '== ca'
cat "$2/ca.crt" 2> /dev/null
echo '== server'
cat "$2/server.crt" 2> /dev/null
echo '== given_certificate'
if [ -n "$3" ]; then cat "$3"; fi
echo '== given_public_key'
if [ -n "$4" ]; then openssl pkey -in "$4" -passin pass: -pubout; fi
echo '== installed'
shift 6
if command -v dpkg-query > /dev/null; then
    dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2> /dev/null | sed -n 's/^installed //p'
else
    rpm --query --queryformat '%{NAME}\n' "$@" 2> /dev/null | grep -v ' '
fi
exit 0
