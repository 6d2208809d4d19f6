-- What a client is told whose request goes to no engine, in the shape of OpenAI's errors. Pure: nothing here knows nginx.
local cjson = require("cjson")

local refusals = {}

local REASONS = {
    not_json = { 400, "invalid_json", "The body must be one JSON object as RFC 8259 describes it, and nothing else." },
    too_deep = { 400, "invalid_json", "The JSON of the body is nested more than 64 levels deep." },
    no_model = { 400, "model_missing", "The body must name a model in 'model'; GET /v1/models lists them.", "model" },
    model_no_text = { 400, "model_invalid", "'model' must be text.", "model" },
    model_twice = { 400, "model_invalid", "The body has the key 'model' more than once.", "model" },
    model_spelling = { 400, "model_invalid", "The key 'model' must be written in small letters and without escapes.", "model" },
    model_not_found = { 404, "model_not_found", "The model%s does not exist or you do not have access to it.", "model" },
    wrong_path = { 400, "unsupported_path", "The model '%s' runs on %s, which does not have this path: use %s." },
    untranslatable = { 400, "unsupported_parameter", "The model '%s' runs on %s, where on this path %s." },
}

--- Return the status and the body for a reason; `...` fills the sentence in.
function refusals.of(reason, ...)
    local status, code, sentence, param = unpack(REASONS[reason])
    local body = cjson.encode({
        error = { message = sentence:format(...), type = "invalid_request_error", param = param or cjson.null, code = code },
    })
    return status, body:gsub("\\/", "/") .. "\n"
end

--- A client's text as it may be repeated to it: only if there is nothing in it but what names are made of, and not much.
function refusals.shown(text)
    return #text <= 80 and text:find("^[%w._:/-]+$") and (" `%s`"):format(text) or ""
end

return refusals
