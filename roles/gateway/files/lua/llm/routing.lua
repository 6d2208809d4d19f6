-- Which model a body names, and who gets the request in which form. Pure: nothing here knows nginx.
local cjson = require("cjson")
local refusals = require("llm.refusals")
local request = require("llm.request")
local scan = require("llm.scan")

local routing = {}

local CHAT = "/v1/chat/completions"

local function refuse(...)
    local status, body = refusals.of(...)
    return { status = status, body = body }
end

--- Decide about the body of a request that `route` was found for.
-- Returns a table with `status` and `body` (refuse), or with `model`, the `path` to ask for, `body` if another one must be sent, and
-- `form` and `stream` if the answer must be translated.
function routing.decide(tables, route, path, body)
    local found, reason = scan.object(body)
    if not found then
        return refuse(reason)
    elseif found.model == nil then
        return refuse(found.first and "model_no_text" or "no_model")
    elseif found.model == "" then
        return refuse("no_model")
    end
    local name = tables.names[found.model]
    if not name then
        return refuse("model_not_found", refusals.shown(found.model))
    end
    local model = tables.models[name]
    local engine = tables.engines[model.engine]
    local form = route.engines[model.engine]
    if not form then
        return refuse("wrong_path", name, engine.title, route.instead)
    end
    if route.plain and request.is_plain(found) then
        form = "plain"
    end
    if form ~= "pass" then
        local readable, content = pcall(cjson.decode, body)
        if not readable then
            return refuse("not_json")
        end
        local translated, stream = request.translated(form, content, name)
        if not translated then
            return refuse("untranslatable", name, engine.title, stream)
        end
        local writable, sent = pcall(cjson.encode, translated)
        if not writable then
            return refuse("untranslatable", name, engine.title, "a number is too large")
        end
        return { model = model, path = CHAT, body = sent, form = form, stream = stream }
    end
    -- The engine is sent the table's name: it need not know aliases, and cannot read a name in another way than we do.
    local sent
    if body:sub(found.first + 1, found.last - 1) ~= name then
        sent = body:sub(1, found.first) .. name .. body:sub(found.last)
    end
    return { model = model, path = path, body = sent }
end

return routing
