-- Ollama's own requests, and the plain form {"model", "prompt"}, as requests of OpenAI's chat API. Pure: nothing here knows nginx.
local request = {}

-- What Ollama and vLLM both know under some name. Other options tune how Ollama runs a model, and Ollama too ignores what it does not know.
local OPTIONS = {
    temperature = "temperature", top_p = "top_p", top_k = "top_k", min_p = "min_p", seed = "seed", stop = "stop",
    presence_penalty = "presence_penalty", frequency_penalty = "frequency_penalty", repeat_penalty = "repetition_penalty",
}
-- What would change the answer, and cannot be said in that way.
local UNTOLD = { "tools", "images", "format", "template", "raw", "suffix", "context", "logprobs", "top_logprobs" }
-- cjson writes no longer number exactly.
local LARGEST = 99999999999999
local NOTHING = { [""] = true, [false] = true }

local function text_of(value)
    return type(value) == "string" and value or nil
end

-- cjson's null is no nil.
local function given(value)
    return value ~= nil and type(value) ~= "userdata" and not NOTHING[value] and not (type(value) == "table" and next(value) == nil)
end

local function messages_of(body)
    local messages = {}
    if type(body.messages) ~= "table" or #body.messages == 0 then
        return nil, "'messages' must be a list with at least one message"
    end
    for place, message in ipairs(body.messages) do
        message = type(message) == "table" and message or {}
        local role, content = text_of(message.role), text_of(message.content)
        if not role or not content then
            return nil, "each message must have the texts 'role' and 'content'"
        elseif given(message.images) or given(message.tool_calls) then
            return nil, "messages may have no images and no tool calls; /v1/chat/completions takes them"
        end
        messages[place] = { role = role, content = content }
    end
    return messages
end

local function prompt_of(body)
    local prompt = text_of(body.prompt)
    if not prompt or prompt == "" then
        return nil, "'prompt' must be a text"
    end
    local messages = { { role = "user", content = prompt } }
    if given(text_of(body.system)) then
        table.insert(messages, 1, { role = "system", content = body.system })
    end
    return messages
end

--- Whether a request to /api/chat has the plain form. What has messages is Ollama's own.
function request.is_plain(found)
    return found.prompt == true and not found.messages
end

--- Return the request to send, and whether the answer is a stream; or nil and what is wrong.
-- `form` is how the client asks and wants its answer: "chat" and "generate" are Ollama's, "plain" is {"prompt"} -> {"response"}.
function request.translated(form, body, model)
    for _, key in ipairs(UNTOLD) do
        if given(body[key]) then
            return nil, ("'%s' cannot be passed on; /v1/chat/completions may have its like"):format(key)
        end
    end
    local stream = form ~= "plain"
    if type(body.stream) == "boolean" then
        stream = body.stream
    end
    if form == "plain" and stream then
        return nil, "the plain form answers in one piece; send 'messages' for a stream"
    end
    local read = form == "chat" and messages_of or prompt_of
    local messages, problem = read(body)
    if not messages then
        return nil, problem
    end
    local out = { model = model, messages = messages, stream = stream }
    local options = type(body.options) == "table" and body.options or {}
    for ours, theirs in pairs(OPTIONS) do
        if given(options[ours]) then
            out[theirs] = options[ours]
        end
    end
    if type(options.seed) == "number" and math.abs(options.seed) > LARGEST then
        return nil, "'seed' may have 14 digits"
    end
    -- Ollama takes -1 and -2 for "as many as there is room for", which is what both engines do if they are told nothing.
    if type(options.num_predict) == "number" and options.num_predict > 0 then
        out.max_tokens = options.num_predict
    end
    if stream then
        out.stream_options = { include_usage = true }
    end
    return out, stream
end

return request
