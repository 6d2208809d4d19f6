local answer = require("llm.answer")
local cjson = require("cjson")
local lists = require("llm.lists")
local request = require("llm.request")

local HI = { { role = "user", content = "Hi" } }

describe("a request of Ollama's", function()
    it("is said in OpenAI's words", function()
        local body = cjson.decode([[{"model":"alias","messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi","images":[]}],
            "stream":false,"keep_alive":"5m","think":false,"format":"","tools":[],"options":{"temperature":0,"top_p":0.5,"seed":7,"num_predict":9,
            "stop":["a","b"],"repeat_penalty":1.1,"num_ctx":4096,"mirostat":1}}]])
        local out, stream = request.translated("chat", body, "m")
        assert.is_false(stream)
        assert.are.same({
            model = "m", stream = false, temperature = 0, top_p = 0.5, seed = 7, max_tokens = 9, stop = { "a", "b" }, repetition_penalty = 1.1,
            messages = { { role = "system", content = "S" }, { role = "user", content = "Hi" } },
        }, out)
    end)

    it("is streamed unless it says otherwise, with usage", function()
        local out, stream = request.translated("generate", { prompt = "Hi", system = "S", options = { num_predict = -1 } }, "m")
        assert.is_true(stream)
        assert.are.same({
            model = "m", stream = true, stream_options = { include_usage = true },
            messages = { { role = "system", content = "S" }, { role = "user", content = "Hi" } },
        }, out)
    end)

    it("may have the plain form", function()
        local out, stream = request.translated("plain", { prompt = "Hi", options = cjson.null }, "m")
        assert.is_false(stream)
        assert.are.same({ model = "m", stream = false, messages = HI }, out)
        assert.is_true(request.is_plain({ prompt = true }))
        assert.is_false(request.is_plain({ prompt = true, messages = true }))
        assert.is_false(request.is_plain({}))
    end)

    for _, case in ipairs({
        { "chat", {}, "'messages' must be" },
        { "chat", { messages = {} }, "'messages' must be" },
        { "chat", { messages = { { role = "user" } } }, "'role' and 'content'" },
        { "chat", { messages = { "x" } }, "'role' and 'content'" },
        { "chat", { messages = { 1 } }, "'role' and 'content'" },
        { "chat", { messages = { cjson.null } }, "'role' and 'content'" },
        { "chat", { messages = { { role = "user", content = "x", images = { "aaaa" } } } }, "no images" },
        { "chat", { messages = HI, tools = { {} } }, "'tools' cannot" },
        { "chat", { messages = HI, format = "json" }, "'format' cannot" },
        { "chat", { messages = HI, options = { seed = 1e15 } }, "'seed'" },
        { "generate", {}, "'prompt' must be" },
        { "generate", { prompt = { "x" } }, "'prompt' must be" },
        { "generate", { prompt = "x", raw = true }, "'raw' cannot" },
        { "generate", { prompt = "x", images = { "aaaa" } }, "'images' cannot" },
        { "plain", { prompt = "x", stream = true }, "one piece" },
    }) do
        it("is refused: " .. case[3], function()
            local out, problem = request.translated(case[1], case[2], "m")
            assert.is_nil(out)
            assert.is_truthy(problem:find(case[3], 1, true), problem)
        end)
    end
end)

-- As vLLM 0.32 answers.
local EVENTS = {
    [[data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}]],
    [[data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Par"},"logprobs":null,"finish_reason":null,"token_ids":null}]}]],
    [[data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"is \"é\""},"logprobs":null,"finish_reason":null}]}]],
    [[data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length","stop_reason":null}]}]],
    [[data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}]],
    "data: [DONE]",
}
local SSE = table.concat(EVENTS, "\n\n") .. "\n\n"

local function rows(text)
    local out = {}
    for row in text:gmatch("([^\n]*)\n") do
        out[#out + 1] = cjson.decode(row)
    end
    return out
end

describe("a streamed answer", function()
    it("becomes Ollama's lines", function()
        local out = rows(answer.stream("chat", "m", 100):feed(SSE, 102))
        assert.are.equal(3, #out)
        assert.are.same({ model = "m", created_at = "1970-01-01T00:01:42Z", done = false, message = { role = "assistant", content = "Par" } }, out[1])
        assert.are.equal('is "é"', out[2].message.content)
        assert.are.same({
            model = "m", created_at = "1970-01-01T00:01:42Z", done = true, done_reason = "length", message = { role = "assistant", content = "" },
            total_duration = 2e9, load_duration = 0, prompt_eval_duration = 2e9, eval_duration = 0, prompt_eval_count = 5, eval_count = 3,
        }, out[3])
    end)

    it("is the same wherever it is cut", function()
        local whole = answer.stream("generate", "m", 1):feed(SSE, 2)
        assert.are.equal("Par", rows(whole)[1].response)
        for _, size in ipairs({ 1, 2, 3, 7, 64, 100 }) do
            local stream, out = answer.stream("generate", "m", 1), {}
            for place = 1, #SSE, size do
                out[#out + 1] = stream:feed(SSE:sub(place, place + size - 1), 2)
            end
            assert.are.same(rows(whole), rows(table.concat(out)))
        end
    end)

    it("is read with other line ends, comments and empty pieces", function()
        local stream = answer.stream("chat", "m", 1)
        local out = stream:feed(": keep-alive\r\n\r\nevent: x\r\n" .. (SSE:gsub("\n", "\r\n")), 2) .. stream:feed("", 2)
        assert.are.equal(3, #rows(out))
    end)

    it("that breaks off never says that it is done", function()
        local out = rows(answer.stream("chat", "m", 1):feed(EVENTS[1] .. "\n\n" .. EVENTS[2] .. "\n\n", 2))
        assert.are.same({ false }, { out[1].done })
        assert.are.equal(1, #out)
    end)

    it("tells an error and no more", function()
        local bad = 'data: {"error":{"message":"Out of memory.","code":500}}'
        local out = rows(answer.stream("chat", "m", 1):feed(table.concat({ EVENTS[2], bad, EVENTS[3], "data: [DONE]" }, "\n\n") .. "\n\n", 2))
        assert.are.same({ error = "Out of memory." }, out[2])
        assert.are.equal(2, #out)
        assert.are.same({ { error = "The engine's answer cannot be read." } }, rows(answer.stream("chat", "m", 1):feed("data: {\n\n", 2)))
    end)
end)

describe("an answer in one piece", function()
    local text = [[{"choices":[{"index":0,"message":{"role":"assistant","content":"Paris","reasoning":null,"tool_calls":[]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":5,"completion_tokens":2}}]]

    it("becomes Ollama's", function()
        local out = cjson.decode(answer.whole("chat", "m", text, 1, 1.5))
        assert.are.same({ "Paris", true, "stop", 5, 2 }, { out.message.content, out.done, out.done_reason, out.prompt_eval_count, out.eval_count })
        assert.are.equal(5e8, out.total_duration)
        assert.are.equal("Paris", cjson.decode(answer.whole("generate", "m", text, 1, 2)).response)
    end)

    it("becomes the plain form", function()
        assert.are.equal('{"response":"Paris"}\n', answer.whole("plain", "m", text, 1, 2))
    end)

    for _, bad in ipairs({ "", "<html>", "[]", "null", '{"choices":[]}', '{"choices":[{"message":null}]}' }) do
        it("that cannot be read says so: " .. bad, function()
            assert.are.same({ error = "The engine's answer cannot be read." }, cjson.decode(answer.whole("chat", "m", bad, 1, 2)))
        end)
    end
end)

describe("the lists", function()
    local tables = {
        order = { "llama", "opt", "gone" },
        models = {
            llama = { name = "llama", engine = "ollama", upstream = "a", aliases = {} },
            opt = { name = "opt", engine = "vllm", upstream = "b", aliases = { "small" } },
            gone = { name = "gone", engine = "vllm", upstream = "c", aliases = {} },
        },
        names = { llama = "llama", ["llama:latest"] = "llama", opt = "opt", small = "opt", gone = "gone" },
    }
    local vllm = '{"object":"list","data":[{"id":"opt","created":5},{"id":"small"},{"id":"llama"},{"id":"else"},{"id":null},7]}'

    it("of OpenAI's shape are merged, only what the table offers and its own engine has", function()
        local ollama = '{"object":"list","data":[{"id":"llama:latest","object":"model","created":3,"owned_by":"library"},{"id":"other:latest"}]}'
        local out = cjson.decode(lists.openai(tables, { a = ollama, b = vllm }))
        assert.are.equal("list", out.object)
        assert.are.same({
            { id = "llama", object = "model", created = 3, owned_by = "ollama" },
            { id = "opt", object = "model", created = 0, owned_by = "vllm" },
            { id = "small", object = "model", created = 0, owned_by = "vllm" },
        }, out.data)
    end)

    it("of Ollama's shape are merged", function()
        local tags = '{"models":[{"name":"llama:latest","size":98362432,"details":{"families":[],"family":"llama"}},{"name":"other:latest"}]}'
        local out = cjson.decode(lists.ollama(tables, { a = tags, b = vllm })).models
        assert.are.same({ name = "llama:latest", size = 98362432, details = { family = "llama" } }, out[1])
        assert.are.equal("opt", out[2].name)
        assert.are.equal(2, #out)
    end)

    for _, bad in ipairs({ "", "x", "[]", "{}", '{"data":7}', '{"data":null}' }) do
        it("are empty where an engine says " .. bad, function()
            assert.are.equal('{"object":"list","data":[]}\n', lists.openai(tables, { a = bad }))
            assert.are.equal('{"models":[]}\n', lists.ollama(tables, { a = bad }))
        end)
    end
end)
