// A coding agent's request, as Claude Code makes it, through Node's own HTTP stack: beta query, cached system blocks, many
// tools, a stream, a tool round trip. Prints "ok" or fails.
import assert from "node:assert";

const [edge] = process.argv.slice(2);
const tools = ["Read", "Edit", "Bash", "Grep"].map((name) => ({
  name,
  description: `${name} something`,
  input_schema: { type: "object", properties: { path: { type: "string" }, flags: { type: "array", items: { type: "string" } } }, required: ["path"] },
  cache_control: name === "Grep" ? { type: "ephemeral" } : undefined,
}));

async function ask(messages) {
  const response = await fetch(`${edge}/v1/messages?beta=true`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: "Bearer sk-ant-oat01-unused-unused",
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
      "x-app": "cli",
      "user-agent": "claude-cli/2.1.0 (external, cli)",
      "anthropic-dangerous-direct-browser-access": "true",
    },
    body: JSON.stringify({
      model: "claude-sonnet-5",
      max_tokens: 32000,
      stream: true,
      metadata: { user_id: "user_0123_account__session_4567" },
      system: [
        { type: "text", text: "You are a coding agent.", cache_control: { type: "ephemeral" } },
        { type: "text", text: "Work in small steps — ünïcode too.", cache_control: { type: "ephemeral", ttl: "1h" } },
      ],
      thinking: { type: "enabled", budget_tokens: 1024 },
      tools,
      messages,
    }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  assert.match(response.headers.get("content-type"), /event-stream/);
  assert.ok(response.headers.get("request-id"));
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body) text += decoder.decode(chunk, { stream: true });
  const events = text.trim().split("\n\n").map((event) => JSON.parse(event.split("\ndata: ")[1]));
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
  return events;
}

const first = { role: "user", content: [{ type: "text", text: "Fix the bug.", cache_control: { type: "ephemeral" } }] };
const events = await ask([first]);
const block = events.find((event) => event.type === "content_block_start").content_block;
assert.equal(block.type, "tool_use");
block.input = JSON.parse(events.filter((event) => event.delta?.partial_json).map((event) => event.delta.partial_json).join(""));
const second = await ask([
  first,
  { role: "assistant", content: [block] },
  { role: "user", content: [{ type: "tool_result", tool_use_id: block.id, content: "done" }] },
]);
assert.ok(second.some((event) => event.delta?.type === "text_delta"));
console.log("ok");
