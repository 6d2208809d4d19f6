local cjson = require("cjson")
local scan = require("llm.scan")

local function deep(levels)
    return ('{"model":"m","x":%s%s}'):format(("["):rep(levels - 1), ("]"):rep(levels - 1))
end

describe("the model of a body", function()
    for body, model in pairs({
        ['{"model":"m"}'] = "m",
        [' \t\r\n{ "model" : "m" } \n'] = "m",
        ['{"messages":[{"model":"no","role":"model"}],"model":"m"}'] = "m",
        ['{"x":{"model":"no","Model":"no"},"model":"m"}'] = "m",
        ['{"x":"\\"model\\":\\"no\\"","model":"m"}'] = "m",
        ['{"x":"\\\\","model":"m"}'] = "m",
        ['{"model":"\\u006d"}'] = "m",
        ['{"model":"a\\"b\\nc"}'] = 'a"b\nc',
        ['{"model":"a\\u0000b"}'] = "a\0b",
        ['{"model":""}'] = "",
        ['{"modell":"no","mode":"no","model":"m","model ":"no"}'] = "m",
        ['{"a":1,"b":-0.5e+10,"c":true,"d":false,"e":null,"f":[],"g":{},"h":[{},[1,"x"]],"model":"m"}'] = "m",
        ['{"model":"\\ud800"}'] = "?",
        ['{"model":"' .. ("x"):rep(2000) .. '"}'] = "?",
        [deep(64)] = "m",
    }) do
        it("is read from " .. body:sub(1, 60), function()
            local found = scan.object(body)
            assert.are.equal(model, found.model)
            assert.are.equal('"', body:sub(found.first, found.first))
            assert.are.equal('"', body:sub(found.last, found.last))
        end)
    end

    for _, value in ipairs({ "1", "null", "true", "{}", '["m"]', "[]", '{"model":"m"}' }) do
        it("is no text in " .. value, function()
            local found = scan.object(('{"model":%s,"x":1}'):format(value))
            assert.is_nil(found.model)
            assert.is_truthy(found.first)
        end)
    end

    it("may be missing", function()
        assert.are.same({}, scan.object("{}"))
        assert.are.same({ prompt = true, messages = true }, scan.object('{"prompt":"x","messages":[]}'))
    end)

    for reason, bodies in pairs({
        model_twice = {
            '{"model":"a","model":"b"}', '{"model":"a","x":1,"model":"a"}', '{"model":"a","Model":"b"}', '{"model":"a","mod\\u0065l":"b"}',
            '{"model":{},"model":"b"}',
        },
        model_spelling = { '{"Model":"a"}', '{"MODEL":"a"}', '{"mod\\u0065l":"a"}', '{"\\u004dodel":"a"}', '{"mOdeL":{"model":"a"}}' },
        too_deep = { deep(65), deep(100000), '{"a":' .. ('{"a":'):rep(64) .. "1" .. ("}"):rep(65) },
    }) do
        for _, body in ipairs(bodies) do
            it(("is refused as %s in %s"):format(reason, body:sub(1, 60)), function()
local found, why = scan.object(body)
                assert.is_nil(found)
                assert.are.equal(reason, why)
            end)
        end
    end
end)

describe("what is no JSON object", function()
    for _, body in ipairs({
        "", " ", "{", "}", "[]", "null", '"x"', "1", "{}}", "{} {}", "{},", '{"model":"m"}x', '{"model":"a"}{"model":"b"}', '{"a"}', '{"a":}', '{"a":1,}',
        '{,"a":1}', "{'a':1}", "{a:1}", '{"a":1 "b":2}', '{"a":[1,]}', '{"a":[,1]}', '{"a":[1 2]}', '{"a":[1}', '{"a":{]}', '{"a":1]', '{"a":"b}', '{"a":"\\x"}',
        '{"a":"\\u12g4"}', '{"a":"\\u123', '{"a":"\n"}', '{"a":"\0"}', '{"a\0":1}', '{"a":1}\0', "\0", '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":1e}',
        '{"a":1e+}', '{"a":-}', '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":tru}', '{"a":truex}', '{"a":nullnull}', '{"a":True}', '{"a":0x1}',
        '{"a":1}//x', '{/**/"a":1}', "\239\187\191{}", '{"a":\f1}', '{"a":\160' .. "1}", "m\0o\0d", '{\0"\0m\0', "model=m", "--x\r\nContent-Disposition: form-data",
    }) do
        it(("is refused: %q"):format(body), function()
            local found, reason = scan.object(body)
            assert.is_nil(found)
            assert.are.equal("not_json", reason)
        end)
    end
end)

-- Damage good bodies by chance: what we take must be JSON to cjson too, with the same model.
describe("10,000 damaged bodies", function()
    local seeds = {
        '{"model":"m","messages":[{"role":"user","content":"a \\"b\\" \\u00e9"}],"n":[1,-2.5e3,true,null]}',
        '{"a":{"model":"no"},"model":"x\\ny","b":[[],{},""]}',
    }
    local alphabet = '{}[]",:\\u0123eE+-. \n\0modelMODELtruefalsn'

    it("are read as cjson reads them", function()
        math.randomseed(4)
        local taken = 0
        for round = 1, 10000 do
            local body = seeds[round % #seeds + 1]
            for _ = 1, math.random(3) do
                local place, with = math.random(#body), math.random(#alphabet)
                local kept = place + math.random(0, 2)
                body = body:sub(1, place - 1) .. alphabet:sub(with, with) .. body:sub(kept)
            end
            local found = scan.object(body)
            if found then
                local readable, content = pcall(cjson.decode, body)
                -- cjson refuses half of a surrogate pair, which RFC 8259 lets pass.
                if not body:find("\\u[dD]") then
                    assert.is_true(readable, body)
                end
                if readable and found.model then
                    assert.are.equal(content.model, found.model, body)
                    taken = taken + 1
                end
            end
        end
        assert.is_true(taken > 500)
    end)
end)
