local cjson = require("cjson")
local refusals = require("llm.refusals")
local routing = require("llm.routing")

local LLAMA = { name = "llama", engine = "ollama", upstream = "llm_ollama", aliases = {} }
local OPT = { name = "opt", engine = "vllm", upstream = "llm_vllm-opt", aliases = { "small" } }
local TABLES = {
    engines = { ollama = { title = "Ollama" }, vllm = { title = "vLLM" } },
    models = { llama = LLAMA, opt = OPT },
    names = { llama = "llama", ["llama:latest"] = "llama", opt = "opt", small = "opt" },
}
local BOTH = { engines = { ollama = "pass", vllm = "pass" } }
local CHAT = { engines = { ollama = "pass", vllm = "chat" }, plain = true }
local SHOW = { engines = { ollama = "pass" }, instead = "GET /v1/models" }

local function decide(route, body, path)
    return routing.decide(TABLES, route, path or "/v1/completions", body)
end

describe("a body", function()
    it("goes as it is to the engine of its model", function()
        assert.are.same({ model = LLAMA, path = "/v1/completions" }, decide(BOTH, '{"model":"llama"}'))
        assert.are.same({ model = OPT, path = "/v1/completions" }, decide(BOTH, '{"model": "opt", "prompt": "x"}'))
    end)

    for body, sent in pairs({
        ['{"a":"small","model":"small"}'] = '{"a":"small","model":"opt"}',
        ['{"model":"llama:latest"}'] = '{"model":"llama"}',
        ['{ "model" : "\\u006fpt" , "x":1}'] = '{ "model" : "opt" , "x":1}',
    }) do
        it("is sent with the table's name: " .. body, function()
            assert.are.equal(sent, decide(BOTH, body).body)
        end)
    end

    for body, expected in pairs({
        ['{"model":"nope"}'] = { 404, "model_not_found", "The model `nope` does not exist or you do not have access to it." },
        ['{"model":"LLAMA"}'] = { 404, "model_not_found" },
        ['{"model":"opt:latest"}'] = { 404, "model_not_found" },
        ['{"model":"__index"}'] = { 404, "model_not_found" },
        ['{"model":"\\r\\nX: y"}'] = { 404, "model_not_found", "The model does not exist or you do not have access to it." },
        ['{"model":"<b>"}'] = { 404, "model_not_found", "The model does not exist or you do not have access to it." },
        ['{"model":"100%s"}'] = { 404, "model_not_found", "The model does not exist or you do not have access to it." },
        ['{"model":"\\u0000"}'] = { 404, "model_not_found" },
        ['{"model":"' .. ("x"):rep(81) .. '"}'] = { 404, "model_not_found", "The model does not exist or you do not have access to it." },
        ['{"model":""}'] = { 400, "model_missing" },
        ["{}"] = { 400, "model_missing" },
        ['{"model":null}'] = { 400, "model_invalid", "'model' must be text." },
        ['{"model":"llama","model":"opt"}'] = { 400, "model_invalid" },
        ['{"model":"llama","Model":"opt"}'] = { 400, "model_invalid" },
        [""] = { 400, "invalid_json" },
        ["[]"] = { 400, "invalid_json" },
    }) do
        it(("is refused: %q"):format(body):sub(1, 80), function()
            local decision = decide(BOTH, body)
            local content = cjson.decode(decision.body).error
            assert.are.same({ expected[1], expected[2] }, { decision.status, content.code })
            assert.are.equal("invalid_request_error", content.type)
            assert.are.equal(expected[3] or content.message, content.message)
            assert.is_nil(decision.model)
        end)
    end

    it("of a model whose engine lacks the path is told another one", function()
        local decision = decide(SHOW, '{"model":"small"}', "/api/show")
        assert.are.equal(400, decision.status)
        assert.are.equal(
            "The model 'opt' runs on vLLM, which does not have this path: use GET /v1/models.", cjson.decode(decision.body).error.message
        )
        assert.are.equal("/api/show", decide(SHOW, '{"model":"llama"}', "/api/show").path)
    end)

    for _, content in ipairs({ "1", "null", '"x"', "[1]", '[{"role":1}]', '{"role":"user"}' }) do
        it("is told that these are no messages: " .. content, function()
            assert.are.equal(400, decide(CHAT, ('{"model":"opt","messages":%s}'):format(content), "/api/chat").status)
        end)
    end

    it("is told that a number is too large", function()
        local decision = decide(CHAT, '{"model":"opt","prompt":"x","options":{"temperature":1e999}}', "/api/chat")
        assert.are.equal(400, decision.status)
        assert.is_truthy(decision.body:find("a number is too large", 1, true))
    end)

    it("is told what cannot be translated", function()
        local decision = decide(CHAT, '{"model":"opt","messages":[{"role":"user","content":"x"}],"tools":[{}, 1]}', "/api/chat")
        assert.are.equal(400, decision.status)
        assert.is_truthy(cjson.decode(decision.body).error.message:find("'tools' cannot be passed on", 1, true))
    end)
end)

describe("/api/chat", function()
    local messages = '"messages":[{"role":"user","content":"x"}]'

    for body, expected in pairs({
        ['{"model":"llama",' .. messages .. "}"] = { "/api/chat" },
        ['{"model":"llama",' .. messages .. ',"prompt":"y"}'] = { "/api/chat" },
        ['{"model":"llama"}'] = { "/api/chat" },
        ['{"model":"llama","prompt":"x"}'] = { "/v1/chat/completions", "plain", false },
        ['{"model":"opt","prompt":"x"}'] = { "/v1/chat/completions", "plain", false },
        ['{"model":"opt",' .. messages .. "}"] = { "/v1/chat/completions", "chat", true },
        ['{"model":"opt","stream":false,' .. messages .. "}"] = { "/v1/chat/completions", "chat", false },
    }) do
        it("with " .. body, function()
            local decision = decide(CHAT, body, "/api/chat")
            assert.are.same(expected, { decision.path, decision.form, decision.stream })
        end)
    end
end)

describe("a client's text", function()
    it("is repeated only where it is harmless", function()
        assert.are.equal(" `org/Model-1.5:7b`", refusals.shown("org/Model-1.5:7b"))
        for _, text in ipairs({ "", "a b", "a`b", 'a"b', "a\nb", "a\0", "\195\169", ("x"):rep(81) }) do
            assert.are.equal("", refusals.shown(text))
        end
    end)
end)
