local admission = require("llm.admission")
local routes = require("llm.routes")

local TABLE = {
    ["/v1/models"] = { methods = { "GET" }, upstream = "llm_ollama", host = "localhost:11434" },
    ["/api/chat"] = { methods = { "POST" }, upstream = "llm_ollama", host = "localhost:11434" },
    ["/health"] = { methods = { "GET", "HEAD" }, public = true, answer = "@health" },
}

local function digest(text)
    return "digest of " .. text
end

local function decide(overrides)
    local request = { target = "/v1/models", method = "GET", authorization = "Bearer good" }
    for name, value in pairs(overrides) do
        request[name] = value or nil
    end
    local clients = overrides.clients or { ["digest of good"] = "tester" }
    local config = { routes = TABLE, clients = clients, anonymous = overrides.anonymous }
    return admission.decide(config, request, digest)
end

describe("the path of a target", function()
    for target, path in pairs({
        ["/v1/models"] = "/v1/models",
        ["/v1/models?limit=1"] = "/v1/models",
        ["/v1/models?a=/api/pull?b"] = "/v1/models",
        ["/v1/models#x"] = "/v1/models#x",
        ["?"] = "",
    }) do
        it("is read from " .. target, function()
            assert.are.equal(path, routes.path(target))
        end)
    end
end)

describe("a request", function()
    it("with a key goes where the table says", function()
        assert.are.same({ route = TABLE["/v1/models"], path = "/v1/models", client = "tester" }, decide({}))
    end)

    it("keeps its query out of the path", function()
        assert.are.equal("/v1/models", decide({ target = "/v1/models?limit=1" }).path)
    end)

    it("to a public path needs no key", function()
        local decision = decide({ target = "/health", authorization = false })
        assert.are.equal("@health", decision.route.answer)
        assert.are.equal("", decision.client)
    end)

    for _, authorization in ipairs({ false, "", "Bearer bad", "Basic good", "good", "Bearer good bad" }) do
        it("with Authorization " .. tostring(authorization) .. " is refused with 401", function()
            assert.are.same({ status = 401 }, decide({ authorization = authorization }))
        end)
    end

    for _, target in ipairs({
        "", "/", "*", "/v1", "/v1/", "/v1/models/", "//v1/models", "/v1//models", "/V1/models", "/v1/Models", "/v1/models;x", "/v1/models%20",
        "/v1/models%3f", "/v1/models%00", "/v1/models#x", "/v1/../api/pull", "/api/pull", "/api/pull/../chat", "/api/chat/../pull",
        "/v1/%2e%2e/api/pull", "/v1/%6dodels", "/api/delete", "/api/create", "/api/push", "/api/copy", "/api/blobs/sha256:0", "/api/ps",
        "/api/embeddings", "/v1/responses", "/v1/messages", "\\v1\\models", "/v1/./models", "/v1/models/x", "__index", "v1/models",
    }) do
        it(("to %q is refused with 404"):format(target), function()
            assert.are.same({ status = 404 }, decide({ target = target }))
        end)
    end

    for method, target in pairs({
        POST = "/v1/models", GET = "/api/chat", HEAD = "/v1/models", DELETE = "/api/chat", OPTIONS = "/v1/models", get = "/v1/models", PUT = "/health",
    }) do
        it(("%s %s is refused with 405"):format(method, target), function()
            local allow = table.concat(TABLE[target].methods, ", ")
            assert.are.same({ status = 405, allow = allow }, decide({ method = method, target = target }))
        end)
    end

    it("without a key enters where anonymous clients may", function()
        assert.are.equal("anonymous", decide({ authorization = false, anonymous = true }).client)
    end)

    it("with any key enters where anonymous clients may and no key is known", function()
        assert.are.equal("anonymous", decide({ authorization = "Bearer bad", anonymous = true, clients = {} }).client)
        assert.are.same({ status = 401 }, decide({ authorization = "Bearer bad", clients = {} }))
    end)

    it("with a wrong key is refused even where anonymous clients may enter", function()
        assert.are.same({ status = 401 }, decide({ authorization = "Bearer bad", anonymous = true }))
    end)
end)
