// The tool runner of Anthropic's TypeScript SDK, as tool_runner.py: node tool_runner.mjs SDK_FOLDER EDGE_URL MODEL
import { createRequire } from "node:module";

const [sdk, baseURL, model] = process.argv.slice(2);
const { Anthropic } = createRequire(`${sdk}/package.json`)("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 20000 });
const weather = {
  name: "weather",
  description: "The weather of a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  parse: (input) => input,
  run: async () => "sun over the whole city",
};
const finals = [];
for (const stream of [false, true]) {
  const messages = [{ role: "user", content: `Weather in Paris? (stream: ${stream}, TypeScript)` }];
  const runner = client.beta.messages.toolRunner({ model, max_tokens: 200, messages, tools: [weather], stream });
  let final;
  for await (const turn of runner) final = stream ? await turn.finalMessage() : turn;
  finals.push(final.content.map((block) => block.text ?? "").join(""));
}
console.log(JSON.stringify(finals));
