local keys = require("llm.keys")
local sha256 = require("llm.sha256")

local KEY = "0123456789abcdef0123456789abcdef"

describe("the token of an Authorization header", function()
    for header, expected in pairs({
        ["Bearer " .. KEY] = KEY,
        ["bearer " .. KEY] = KEY,
        ["BEARER  " .. KEY] = KEY,
        ["Bearer a-b._~+/=="] = "a-b._~+/==",
    }) do
        it("is read from " .. header, function()
            assert.are.equal(expected, keys.token(header))
        end)
    end

    for _, header in ipairs({
        "", "Bearer", "Bearer ", KEY, "Basic " .. KEY, "Bearer: " .. KEY, "Bearer " .. KEY .. " x", " Bearer " .. KEY,
        "Bearer " .. KEY .. ",Bearer x", "Bearer a=b", "Bearer a\nb", "Bearer a\0b", "Token " .. KEY,
    }) do
        it(("is not read from %q"):format(header), function()
            assert.is_nil(keys.token(header))
        end)
    end

    it("is not read from no header", function()
        assert.is_nil(keys.token(nil))
    end)
end)

describe("the client of a token", function()
    local clients = { [sha256(KEY)] = "tester" }

    it("is found by digest", function()
        assert.are.equal("tester", keys.client(clients, KEY, sha256))
    end)

    for _, token in ipairs({ "", KEY:upper(), KEY .. "x", KEY:sub(2), sha256(KEY), "tester" }) do
        it(("is nobody for %q"):format(token), function()
            assert.is_nil(keys.client(clients, token, sha256))
        end)
    end

    it("is nobody without a token", function()
        assert.is_nil(keys.client(clients, nil, sha256))
    end)
end)

-- FIPS 180-4, examples.
describe("SHA-256", function()
    for text, digest in pairs({
        [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ["a\0b"] = "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138",
    }) do
        it(("of %q"):format(text), function()
            assert.are.equal(digest, sha256(text))
        end)
    end
end)
