#!/bin/sh
# Run the unit tests of the gateway's Lua code in the image named by LUA_IMAGE (it has busted and LuaJIT).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
exec docker run --rm --network none --volume "$root:/src:ro" --workdir /src "${LUA_IMAGE:?name an image with busted}" \
    busted --lua=luajit --lpath='roles/gateway/files/lua/?.lua' --pattern=_spec tests/lua
