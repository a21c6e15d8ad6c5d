-- One tools/call a request, for wrk. Everything comes by the environment: a token on a command line
-- would be seen by `ps`.
--
--   BENCH_TOOL     the name of the tool, which echoes `message`
--   BENCH_TOKEN    the bearer token, where one is needed
--   BENCH_SESSION  the session of the older era; without it the requests are of the newer one
--
-- Each request has an id of its own: in a session two calls in flight may not share one. wrk is to be
-- run with one thread, so one counter is enough.

local tool = os.getenv("BENCH_TOOL")
local token = os.getenv("BENCH_TOKEN")
local session = os.getenv("BENCH_SESSION")
local id = 1000

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
if token and token ~= "" then
   wrk.headers["Authorization"] = "Bearer " .. token
end

local meta = ""
if session and session ~= "" then
   wrk.headers["Mcp-Session-Id"] = session
   wrk.headers["MCP-Protocol-Version"] = "2025-11-25"
else
   wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
   wrk.headers["Mcp-Method"] = "tools/call"
   wrk.headers["Mcp-Name"] = tool
   meta = ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
      .. '"io.modelcontextprotocol/clientCapabilities":{}}'
end

local body = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"' .. tool
   .. '","arguments":{"message":"hello"}' .. meta .. '}}'

function request()
   id = id + 1
   return wrk.format(nil, nil, nil, string.format(body, id))
end

-- One line of JSON, which gateway.py finds among what wrk says.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "seconds": %.6f, "p50Us": %d, "p99Us": %d, "errors": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
