-- API keys: which client a request comes from. Pure: nothing here knows nginx.
local keys = {}

--- The token of an Authorization header, or nil. RFC 6750: the scheme in any case, then a b64token.
function keys.token(header)
    if type(header) ~= "string" then
        return nil
    end
    local scheme, token = header:match("^(%a+) +([%w%-%._~%+/]+=*)$")
    if scheme and scheme:lower() == "bearer" then
        return token
    end
    return nil
end

--- The name of the client that `token` belongs to, or nil.
-- `clients` maps the SHA-256 of each key (hex) to a name. A look-up by digest needs no constant-time comparison: what
-- its timing could tell is about a digest, and nobody can choose a key by its digest.
function keys.client(clients, token, digest)
    if token == nil then
        return nil
    end
    return clients[digest(token)]
end

return keys
