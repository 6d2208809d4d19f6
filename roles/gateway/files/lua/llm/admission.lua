-- Who may enter, and where to. Pure: nothing here knows nginx.
local keys = require("llm.keys")
local routes = require("llm.routes")

local admission = {}

--- Decide about a request (`target`, `method`, `authorization`).
-- `config` holds `routes`, `clients` and `anonymous`; `digest` gives the SHA-256 of a text in hex.
-- Returns a table with either `status` (refuse; 405 with `allow`) or `route`, `path` and `client`.
function admission.decide(config, request, digest)
    local path = routes.path(request.target)
    local route, status, allow = routes.find(config.routes, path, request.method)
    if route == nil then
        return { status = status, allow = allow }
    end
    if route.public then
        return { route = route, path = path, client = "" }
    end
    local client = keys.client(config.clients, keys.token(request.authorization), digest)
    -- Some clients cannot do without a key: where there are none to know, any will do.
    if client == nil and config.anonymous and (request.authorization == nil or next(config.clients) == nil) then
        client = "anonymous"
    end
    if client == nil then
        return { status = 401 }
    end
    return { route = route, path = path, client = client }
end

return admission
