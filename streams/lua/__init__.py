"""The Lua that runs in Redis."""
