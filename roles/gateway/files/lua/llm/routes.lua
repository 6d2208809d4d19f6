-- The route table: which paths exist, by which methods, and who answers. Pure: nothing here knows nginx.
local routes = {}

--- The path of a request line's target as the client wrote it: no decoding, no merging, no dot removal.
-- Whatever is spelt in another way than the table spells it is another path, so no trick reaches a path that is not listed.
function routes.path(target)
    return (target:match("^[^?]*"))
end

--- The route for a path and a method; or nil, the status to refuse with, and for 405 the methods that are allowed.
function routes.find(table_, path, method)
    local route = table_[path]
    if route == nil then
        return nil, 404
    end
    for _, allowed in ipairs(route.methods) do
        if allowed == method then
            return route
        end
    end
    return nil, 405, table.concat(route.methods, ", ")
end

return routes
