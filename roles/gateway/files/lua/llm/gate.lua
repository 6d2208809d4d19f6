-- The only part that knows nginx: reads the tables when a configuration is loaded, asks the other parts about each request, and does what
-- they say.
local cjson = require("cjson")
local admission = require("llm.admission")
local answer = require("llm.answer")
local lists = require("llm.lists")
local routing = require("llm.routing")
local sha256 = require("llm.sha256")

local gate = {}
local config

local function read(path)
    local file = assert(io.open(path, "r"))
    local text = file:read("*a")
    file:close()
    return text
end

--- Read the tables in `directory`. An error here keeps nginx from loading the configuration.
function gate.load(directory)
    local keys = cjson.decode(read(directory .. "/keys.json"))
    config = cjson.decode(read(directory .. "/routes.json"))
    config.clients = keys.clients
    config.anonymous = keys.anonymous == true
end

--- Let the current request in, or refuse it. Runs in the rewrite phase: limits, which come next, then know the client.
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
    local route = decision.route
    if route.public then
        return ngx.exec(route.answer)
    end
    ngx.var.llm_client = decision.client
    ngx.var.llm_path = decision.path
end

local function say(status, body)
    ngx.status = status
    ngx.print(body)
    return ngx.exit(ngx.HTTP_OK)
end

local function send_to(upstream, host)
    ngx.var.llm_upstream = upstream
    ngx.var.llm_host = host
end

-- The whole body; nginx keeps a large one in a file.
local function body_of_request()
    ngx.req.read_body()
    local text = ngx.req.get_body_data()
    if text then
        return text
    end
    local path = ngx.req.get_body_file()
    return path and read(path) or ""
end

--- Find out who answers. Runs in the access phase, after the limits: who is over them makes us read nothing.
function gate.route()
    local path = ngx.var.llm_path
    local route = config.routes[path]
    if route.answer then
        return ngx.exec(route.answer)
    elseif route.upstream then
        return send_to(route.upstream, route.host)
    end
    local decision = routing.decide(config, route, path, body_of_request())
    if decision.status then
        return say(decision.status, decision.body)
    end
    local model = decision.model
    ngx.var.llm_model = model.name
    ngx.var.llm_type = "application/json"
    send_to(model.upstream, config.engines[model.engine].host)
    if decision.body then
        ngx.req.set_body_data(decision.body)
    end
    if decision.form then
        ngx.var.llm_path = decision.path
        ngx.var.llm_form = decision.form
        ngx.var.llm_stream = decision.stream and "yes" or ""
        return ngx.exec("@translated")
    end
end

--- Prepare the headers of an answer that will be translated. What an engine says of an error passes as it is.
function gate.translate_header()
    if ngx.status ~= ngx.HTTP_OK then
        return
    end
    local form, model, start = ngx.var.llm_form, ngx.var.llm_model, ngx.req.start_time()
    if ngx.var.llm_stream == "yes" then
        ngx.header.content_type = "application/x-ndjson"
        ngx.ctx.stream = answer.stream(form, model, start)
    else
        ngx.header.content_type = "application/json"
        ngx.ctx.pieces = {}
    end
    ngx.header.content_length = nil
end

--- Translate a piece of an answer.
function gate.translate_body()
    local stream, pieces = ngx.ctx.stream, ngx.ctx.pieces
    if stream then
        ngx.arg[1] = stream:feed(ngx.arg[1], ngx.now())
    elseif pieces then
        pieces[#pieces + 1] = ngx.arg[1]
        ngx.arg[1] = nil
        if ngx.arg[2] then
            local text = table.concat(pieces)
            ngx.arg[1] = answer.whole(ngx.var.llm_form, ngx.var.llm_model, text, ngx.req.start_time(), ngx.now())
        end
    end
end

-- Answer with a list that `write` makes of what all engines say when asked at once, by the internal locations in the table.
local function list(kind, write)
    ngx.req.discard_body()
    local requests, answers = {}, {}
    for place, upstream in ipairs(config.upstreams) do
        requests[place] = { upstream.lists[kind], { method = ngx.HTTP_GET } }
    end
    if #requests > 0 then
        for place, reply in ipairs({ ngx.location.capture_multi(requests) }) do
            local name = config.upstreams[place].name
            if reply.status == ngx.HTTP_OK and not reply.truncated then
                answers[name] = reply.body
            else
                ngx.log(ngx.ERR, name, " is left out of the list of models: it answered with status ", reply.status)
            end
        end
        if next(answers) == nil then
            return ngx.exit(ngx.HTTP_BAD_GATEWAY)
        end
    end
    ngx.print(write(config, answers))
end

--- Answer GET /v1/models.
function gate.list_openai()
    return list("openai", lists.openai)
end

--- Answer GET /api/tags.
function gate.list_ollama()
    return list("ollama", lists.ollama)
end

return gate
