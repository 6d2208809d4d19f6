-- The only part that knows nginx: reads the tables when a configuration is loaded, and asks `admission` about each request.
local cjson = require("cjson")
local admission = require("llm.admission")
local sha256 = require("llm.sha256")

local gate = {}
local config

local function read(path)
    local file = assert(io.open(path, "r"))
    local text = file:read("*a")
    file:close()
    return cjson.decode(text)
end

--- Read the tables in `directory`. An error here keeps nginx from loading the configuration.
function gate.load(directory)
    local keys = read(directory .. "/keys.json")
    config = {
        routes = read(directory .. "/routes.json"),
        clients = keys.clients,
        anonymous = keys.anonymous == true,
    }
end

--- Let the current request in, or refuse it. Runs in the rewrite phase: limits, which come next, then know the client.
-- The body is not read here; routing by model will read it in the access phase, after the limits.
function gate.enter()
    local decision = admission.decide(config, {
        target = ngx.var.request_uri,
        method = ngx.req.get_method(),
        authorization = ngx.var.http_authorization,
    }, sha256)
    if decision.status then
        ngx.var.llm_allow = decision.allow or ""
        return ngx.exit(decision.status)
    end
    ngx.var.llm_client = decision.client
    if decision.route.answer then
        return ngx.exec(decision.route.answer)
    end
    ngx.var.llm_upstream = decision.route.upstream
    ngx.var.llm_host = decision.route.host
    ngx.var.llm_path = decision.path
end

return gate
