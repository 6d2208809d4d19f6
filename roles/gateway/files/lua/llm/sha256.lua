-- SHA-256 by the libcrypto that nginx has loaded for TLS.
local ffi = require("ffi")

ffi.cdef("unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);")

local LENGTH = 32
local HEX = {}
for byte = 0, 255 do
    HEX[string.char(byte)] = ("%02x"):format(byte)
end
local out = ffi.new("unsigned char[?]", LENGTH)
local crypto = ffi.C
if not pcall(function() return crypto.SHA256 end) then
    -- A plain interpreter, as in the unit tests, has not loaded it.
    crypto = ffi.load("libcrypto.so.3")
end

--- The digest of `text`, in lower-case hex.
return function(text)
    crypto.SHA256(text, #text, out)
    return (ffi.string(out, LENGTH):gsub(".", HEX))
end
