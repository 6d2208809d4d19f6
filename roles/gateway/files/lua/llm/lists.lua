-- The lists of models: what the engines have, as far as the route table offers it. Pure: nothing here knows nginx.
local cjson = require("cjson")

local lists = {}

-- The models in an engine's list, by the name that the route table has for each.
local function entries(tables, text)
    local readable, content = pcall(cjson.decode, text)
    local list = readable and type(content) == "table" and (content.data or content.models)
    local found = {}
    for _, entry in ipairs(type(list) == "table" and list or {}) do
        local name = type(entry) == "table" and tables.names[entry.id or entry.name]
        if name then
            found[name] = entry
        end
    end
    return found
end

-- Each model of the table that its own upstream has, in the table's order: its name, its row, and the engine's entry.
local function present(tables, answers)
    local seen, found = {}, {}
    for upstream, text in pairs(answers) do
        seen[upstream] = entries(tables, text)
    end
    for _, name in ipairs(tables.order) do
        local model = tables.models[name]
        local entry = seen[model.upstream] and seen[model.upstream][name]
        if entry then
            found[#found + 1] = { name = name, model = model, entry = entry }
        end
    end
    return found
end

-- cjson takes an empty table for an object, so a list that is empty is written here, and left out further inside.
local function encoded(list)
    return #list > 0 and cjson.encode(list) or "[]"
end

local function without_empty(entry)
    local kept = {}
    for key, value in pairs(entry) do
        if type(value) ~= "table" then
            kept[key] = value
        elseif next(value) ~= nil then
            kept[key] = without_empty(value)
        end
    end
    return kept
end

local function created(entry)
    return type(entry.created) == "number" and entry.created or 0
end

--- The answer to GET /v1/models. `answers` are the engines' own lists, by upstream; an alias is a model too.
function lists.openai(tables, answers)
    local list = {}
    for _, found in ipairs(present(tables, answers)) do
        for _, id in ipairs({ found.name, unpack(found.model.aliases) }) do
            list[#list + 1] = { id = id, object = "model", created = created(found.entry), owned_by = found.model.engine }
        end
    end
    return ('{"object":"list","data":%s}\n'):format(encoded(list))
end

--- The answer to GET /api/tags: Ollama's own entries, and entries of the same shape for the models of other engines.
function lists.ollama(tables, answers)
    local list = {}
    for place, found in ipairs(present(tables, answers)) do
        list[place] = found.model.engine == "ollama" and without_empty(found.entry) or {
            name = found.name, model = found.name, size = 0, digest = "",
            modified_at = os.date("!%Y-%m-%dT%H:%M:%SZ", created(found.entry)),
            details = { format = "safetensors", family = "", parameter_size = "", quantization_level = "" },
        }
    end
    return ('{"models":%s}\n'):format(encoded(list))
end

return lists
