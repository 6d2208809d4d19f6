-- Answers of OpenAI's chat API as those that Ollama gives, or as {"response"}. Pure: nothing here knows nginx.
local cjson = require("cjson")

local answer = {}

local function text_of(value)
    return type(value) == "string" and value ~= "" and value or nil
end

local function number_of(value)
    return type(value) == "number" and value or nil
end

-- cjson tells a missing value from null; here both are nothing.
local function table_of(value)
    return type(value) == "table" and value or {}
end

local function nanoseconds(seconds)
    return math.floor(seconds * 1e6) * 1000
end

local function time_of(now)
    return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(now))
end

-- One object of Ollama's answer: a piece, or with `done` the last one.
local function object(form, model, now, content, thinking, done)
    local out = { model = model, created_at = time_of(now), done = done }
    if form == "chat" then
        out.message = { role = "assistant", content = content, thinking = thinking }
    else
        out.response, out.thinking = content, thinking
    end
    return out
end

-- What the last object tells besides.
local function finish(out, reason, usage, times)
    out.done_reason = reason or "stop"
    out.total_duration = nanoseconds(times.now - times.start)
    out.load_duration = 0
    out.prompt_eval_duration = nanoseconds(times.first - times.start)
    out.eval_duration = nanoseconds(times.now - times.first)
    out.prompt_eval_count = number_of(usage.prompt_tokens)
    out.eval_count = number_of(usage.completion_tokens)
    return out
end

local function line(out)
    return cjson.encode(out) .. "\n"
end

-- What an engine says went wrong when it had already begun to answer.
local function failure(content)
    return line({ error = text_of(table_of(content.error).message) or "The engine's answer cannot be read." })
end

--- Translate an answer that came in one piece. `start` and `now` are seconds.
function answer.whole(form, model, text, start, now)
    local readable, content = pcall(cjson.decode, text)
    content = readable and table_of(content) or {}
    local choice = table_of(table_of(content.choices)[1])
    local message = table_of(choice.message)
    if next(message) == nil then
        return failure(content)
    end
    local words = text_of(message.content) or ""
    if form == "plain" then
        return line({ response = words })
    end
    local thinking = text_of(message.reasoning) or text_of(message.reasoning_content)
    -- When the first token was there is not known: all of the time counts as the answer's.
    local times = { start = start, first = start, now = now }
    return line(finish(object(form, model, now, words, thinking, true), text_of(choice.finish_reason), table_of(content.usage), times))
end

local Stream = {}
Stream.__index = Stream

--- Translate an answer that comes as server-sent events.
function answer.stream(form, model, start)
    return setmetatable({ form = form, model = model, start = start, rest = "", usage = {} }, Stream)
end

function Stream:event(data, now)
    if data == "[DONE]" then
        local times = { start = self.start, first = self.first or now, now = now }
        return line(finish(object(self.form, self.model, now, "", nil, true), self.reason, self.usage, times))
    end
    local readable, content = pcall(cjson.decode, data)
    content = readable and table_of(content) or {}
    if not readable or content.error then
        self.failed = true
        return failure(content)
    end
    local choice = table_of(table_of(content.choices)[1])
    local delta = table_of(choice.delta)
    self.reason = text_of(choice.finish_reason) or self.reason
    if next(table_of(content.usage)) ~= nil then
        self.usage = content.usage
    end
    local words, thinking = text_of(delta.content), text_of(delta.reasoning) or text_of(delta.reasoning_content)
    if not words and not thinking then
        return ""
    end
    self.first = self.first or now
    return line(object(self.form, self.model, now, words or "", thinking, false))
end

--- Take what has come and return what it becomes. An event may come in pieces; a stream that breaks off never says that it is done.
function Stream:feed(chunk, now)
    local text, out, place = self.rest .. chunk, {}, 1
    for row, stop in text:gmatch("([^\r\n]*)\r?\n()") do
        local data = row:match("^data: ?(.*)$")
        if data and not self.failed then
            out[#out + 1] = self:event(data, now)
        end
        place = stop
    end
    self.rest = text:sub(place)
    return table.concat(out)
end

return answer
