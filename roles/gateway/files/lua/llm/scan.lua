-- Reads a JSON text as far as the gateway must know it: that it is one object, strictly as RFC 8259 has it, and which model it names.
-- An engine may read a key that comes twice, or in capitals, in its own way; so there is only one way to write `model`. Pure: knows no nginx.
local cjson = require("cjson")
local ffi = require("ffi")

local scan = {}

local DEEPEST = 64
-- A longer key can be none of those below, even if every letter is written as \uXXXX.
local LONGEST_KEY, LONGEST_NAME = 48, 1024
local WANTED = { messages = true, prompt = true }

local QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, DOT, ZERO, NINE = 34, 92, 44, 58, 45, 43, 46, 48, 57
local OBJECT, ARRAY = 123, 91
local CLOSE = { [OBJECT] = 125, [ARRAY] = 93 }

local function set_of(characters)
    local set = {}
    for place = 1, #characters do
        set[characters:byte(place)] = true
    end
    return set
end

local ESCAPES, HEX, EXPONENT = set_of('"\\/bfnrt'), set_of("0123456789abcdefABCDEF"), set_of("eE")
local WORDS = { [("t"):byte()] = "true", [("f"):byte()] = "false", [("n"):byte()] = "null" }

-- Below, `bytes` is the text with a NUL behind it, at which every loop stops, and `at` counts from 0. What is no JSON gives nil.

local function after_space(bytes, at)
    local byte = bytes[at]
    while byte == 32 or byte == 10 or byte == 13 or byte == 9 do
        at = at + 1
        byte = bytes[at]
    end
    return at
end

local function after_string(bytes, at)
    while true do
        local byte = bytes[at]
        while byte ~= QUOTE and byte ~= BACKSLASH and byte >= 32 do
            at = at + 1
            byte = bytes[at]
        end
        if byte == QUOTE then
            return at + 1
        elseif byte ~= BACKSLASH then
            return nil
        elseif ESCAPES[bytes[at + 1]] then
            at = at + 2
        elseif bytes[at + 1] == 117 and HEX[bytes[at + 2]] and HEX[bytes[at + 3]] and HEX[bytes[at + 4]] and HEX[bytes[at + 5]] then
            at = at + 6
        else
            return nil
        end
    end
end

local function after_digits(bytes, at)
    local first = at
    while bytes[at] >= ZERO and bytes[at] <= NINE do
        at = at + 1
    end
    return at > first and at or nil
end

local function after_number(bytes, at)
    if bytes[at] == MINUS then
        at = at + 1
    end
    at = bytes[at] == ZERO and at + 1 or after_digits(bytes, at)
    if at and bytes[at] == DOT then
        at = after_digits(bytes, at + 1)
    end
    if at and EXPONENT[bytes[at]] then
        local sign = bytes[at + 1]
        at = after_digits(bytes, (sign == PLUS or sign == MINUS) and at + 2 or at + 1)
    end
    return at
end

local function after_scalar(bytes, at)
    local word = WORDS[bytes[at]]
    if bytes[at] == QUOTE then
        return after_string(bytes, at + 1)
    elseif word then
        return ffi.string(bytes + at, #word) == word and at + #word or nil
    end
    return after_number(bytes, at)
end

-- What the string between two places means; nil where it has no meaning (half of a surrogate pair) or is longer than `most`.
local function meaning(text, first, last, most)
    if last - first + 1 > most then
        return nil
    end
    local raw = text:sub(first, last)
    if not raw:find("\\", 1, true) then
        return raw
    end
    local readable, list = pcall(cjson.decode, '["' .. raw .. '"]')
    return readable and list[1] or nil
end

-- Take notice of a key of the object itself. Returns whether it is the model's, or nil and why it cannot be allowed.
local function note(found, text, first, last)
    local key = meaning(text, first, last, LONGEST_KEY)
    if key == nil or key:lower() ~= "model" then
        if WANTED[key] then
            found[key] = true
        end
        return false
    elseif found.first then
        return nil, "model_twice"
    elseif text:sub(first, last) ~= "model" then
        return nil, "model_spelling"
    end
    return true
end

--- What the JSON object in `text` says: `model` (its text, or nil if it is no text), `first` and `last` (where that value stands in
-- `text`, quotes included; nil if there is none), and for `messages` and `prompt` whether it has such a key. Or nil and the reason.
function scan.object(text)
    local bytes = ffi.cast("const uint8_t *", text)
    local at = after_space(bytes, 0)
    if bytes[at] ~= OBJECT then
        return nil, "not_json"
    end
    local found, open, depth, empty = {}, { OBJECT }, 1, true
    at = after_space(bytes, at + 1)
    while true do
        local kind, is_model, deeper = open[depth], false, false
        if not (empty and bytes[at] == CLOSE[kind]) then
            if kind == OBJECT then
                local stop = bytes[at] == QUOTE and after_string(bytes, at + 1)
                if not stop then
                    return nil, "not_json"
                end
                if depth == 1 then
                    local reason
                    is_model, reason = note(found, text, at + 2, stop - 1)
                    if reason then
                        return nil, reason
                    end
                end
                at = after_space(bytes, stop)
                if bytes[at] ~= COLON then
                    return nil, "not_json"
                end
                at = after_space(bytes, at + 1)
            end
            local first, byte = at, bytes[at]
            deeper = byte == OBJECT or byte == ARRAY
            if deeper then
                if depth == DEEPEST then
                    return nil, "too_deep"
                end
                depth = depth + 1
                open[depth] = byte
                at = at + 1
            else
                at = after_scalar(bytes, at)
                if not at then
                    return nil, "not_json"
                end
            end
            if is_model then
                found.first, found.last = first + 1, at
                if byte == QUOTE then
                    found.model = meaning(text, first + 2, at - 1, LONGEST_NAME) or "?"
                end
            end
            at = after_space(bytes, at)
        end
        empty = deeper
        if not deeper then
            while bytes[at] == CLOSE[open[depth]] do
                depth = depth - 1
                at = after_space(bytes, at + 1)
                if depth == 0 then
                    if at ~= #text then
                        return nil, "not_json"
                    end
                    return found
                end
            end
            if bytes[at] ~= COMMA then
                return nil, "not_json"
            end
            at = after_space(bytes, at + 1)
        end
    end
end

return scan
