// The page of LLM Edge Agent: reads /admin/api/live and draws it. The key stays in this closure.
"use strict";
(() => {
  const KEPT = 300; // seconds in the charts
  const SILENT_MS = 15000; // an edge says something every second; one that does not is gone
  const byId = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let key = "";
  let stop = null;
  let runs = 0; // who waited goes on only if no other run has begun, and nobody has left
  let last = null;
  let requests = [];
  let charts = [];
  const series = { at: [] };

  // Making elements. Text is only ever set as text.
  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) {
      if (attribute === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
      else made.setAttribute(attribute, value);
    }
    made.append(...children);
    return made;
  };
  // Rows are known by their keys and stay what they are, so that a click or the focus on one is not lost.
  const table = (id, heads, rows, empty, keys = rows.map((row) => String(row[0]) + row[1])) => {
    const target = byId(id);
    const kind = (n) => (heads[n].startsWith("#") ? { class: "n" } : {});
    if (!target.tHead) {
      const names = heads.map((head, n) => make("th", { scope: "col", ...kind(n) }, head.replace("#", "")));
      target.append(make("thead", {}, make("tr", {}, ...names)), make("tbody"));
    }
    const body = target.tBodies[0];
    if (!rows.length) return body.replaceChildren(make("tr", {}, make("td", { colspan: heads.length }, empty)));
    const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    rows.forEach((cells, at) => {
      const row = old.get(keys[at]) || make("tr", { "data-key": keys[at] }, ...cells.map((_, n) => make("td", kind(n))));
      old.delete(keys[at]);
      if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null);
      cells.forEach((said, n) => {
        const cell = row.cells[n];
        if (!(said instanceof Node)) { if (cell.textContent !== String(said)) cell.textContent = said; }
        else if (!cell.firstChild || !cell.firstChild.isEqualNode(said)) cell.replaceChildren(said);
      });
    });
    old.forEach((row) => row.remove());
  };
  const text = (kind, said) => make("span", { class: kind }, said);

  // Numbers for people.
  const short = (n) => (n >= 1e9 ? (n / 1e9).toFixed(1) + "G" : n >= 1e6 ? (n / 1e6).toFixed(1) + "M" : n >= 1e4 ? (n / 1e3).toFixed(1) + "k" : String(Math.round(n * 100) / 100));
  const usd = (n) => "$" + (n >= 100 ? n.toFixed(0) : n >= 1 ? n.toFixed(2) : n ? n.toFixed(6) : "0");
  const time = (s) => (s === null || s === undefined ? "–" : s >= 1 ? s.toFixed(2) + " s" : s >= 0.001 ? (s * 1e3).toFixed(1) + " ms" : Math.round(s * 1e6) + " µs");
  const percent = (share) => (Number.isFinite(share) ? (100 * share).toFixed(1) + " %" : "–");
  const bytes = (n) => (n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + " MiB" : n >= 1024 ? (n / 1024).toFixed(1) + " KiB" : n + " B");
  const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

  // Figures: rows are [label, ..., value].
  const sum = (rows, pick = () => true) => rows.reduce((all, row) => all + (pick(row) ? row[row.length - 1] : 0), 0);
  const grouped = (rows, at, pick = () => true) => {
    const found = new Map();
    for (const row of rows) if (pick(row)) found.set(row[at], (found.get(row[at]) || 0) + row[row.length - 1]);
    return found;
  };
  const quantile = (share, now, before) => {
    const counts = now.counts.map((n, i) => n - (before ? before.counts[i] : 0));
    const all = counts.reduce((a, b) => a + b, 0);
    if (all <= 0) return null;
    let seen = 0;
    for (let i = 0; i < counts.length; i++) {
      if (seen + counts[i] >= share * all) {
        const low = i ? now.bounds[i - 1] : 0;
        const high = i < now.bounds.length ? now.bounds[i] : now.bounds[now.bounds.length - 1];
        return low + (high - low) * (counts[i] ? (share * all - seen) / counts[i] : 0);
      }
      seen += counts[i];
    }
    return null;
  };

  const CHARTS = [
    ["Requests a second", [["all", "requests"], ["failed (5xx)", "failed"]], short],
    ["Time of answers", [["p50", "t50"], ["p95", "t95"], ["p99", "t99"]], time],
    ["Time to first token", [["p50", "f50"], ["p95", "f95"]], time],
    ["The edge's own time", [["p50", "o50"], ["p99", "o99"]], time],
    ["Tokens a second", [["input", "input"], ["output", "output"]], short],
    ["Dollars an hour", [["spent", "spent"], ["saved", "saved"]], usd],
  ];
  const STROKES = { light: ["#0b57c2", "#b01e25", "#825100"], dark: ["#8ab4f8", "#ff8f8f", "#f0bd65"] };

  const note = (now, was) => {
    // An edge that has been started anew counts from nothing.
    const before = sum(now.requests) < sum(was.requests) ? { at: was.at } : was;
    const over = Math.max(now.at - before.at, 0.001);
    const rate = (name, pick) => Math.max(0, sum(now[name], pick) - sum(before[name] || [], pick)) / over;
    const failed = (row) => row[2] >= "500";
    const point = {
      at: now.at,
      requests: rate("requests"),
      failed: rate("requests", failed),
      t50: quantile(0.5, now.duration, before.duration),
      t95: quantile(0.95, now.duration, before.duration),
      t99: quantile(0.99, now.duration, before.duration),
      f50: quantile(0.5, now.first, before.first),
      f95: quantile(0.95, now.first, before.first),
      o50: quantile(0.5, now.overhead, before.overhead),
      o99: quantile(0.99, now.overhead, before.overhead),
      input: rate("tokens", (row) => row[2] === "input"),
      output: rate("tokens", (row) => row[2] === "output"),
      spent: 3600 * rate("cost"),
      saved: 3600 * rate("saved"),
    };
    for (const [name, value] of Object.entries(point)) {
      (series[name] ||= []).push(value);
      if (series[name].length > KEPT) series[name].shift();
    }
    return point;
  };

  const drawCharts = () => {
    const room = byId("charts");
    const theme = dark.matches ? "dark" : "light";
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--dim"), grid: { stroke: style.getPropertyValue("--line"), width: 1 }, ticks: { show: false } };
    charts.forEach(([chart]) => chart.destroy());
    room.replaceChildren();
    const figures = CHARTS.map(([title]) => make("figure", {}, make("figcaption", {}, title)));
    room.append(...figures); // all of them before one is drawn: its width depends on how many there are
    charts = CHARTS.map(([, lines, format], at) => {
      const figure = figures[at];
      const chart = new uPlot({
        width: Math.max(figure.clientWidth, 240),
        height: 170,
        padding: [12, 32, 0, 0],
        cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [{ ...axis, size: 28, space: 80, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 62, values: (_, ticks) => ticks.map(format) }],
        series: [{ value: (_, at) => (at ? clock(at) : "–") }, ...lines.map(([label], n) => ({ label, stroke: STROKES[theme][n], fill: n ? undefined : STROKES[theme][n] + "1f", points: { show: false }, width: 1.75, spanGaps: true, value: (_, v) => (v === null || v === undefined ? "–" : format(v)) }))],
      }, [[], ...lines.map(() => [])], figure);
      chart.root.setAttribute("aria-hidden", "true"); // the tiles and tables say it in words
      return [chart, lines.map(([, name]) => name)];
    });
    fillCharts();
  };
  const fillCharts = () => charts.forEach(([chart, names]) => {
    chart.setData([series.at, ...names.map((name) => series[name] || [])]);
    if (chart.cursor.left < 0 || chart.cursor.left === undefined) chart.setLegend({ idx: series.at.length - 1 });
  });

  const drawTiles = (now, point) => {
    const hits = sum(now.cache, (row) => row[1] === "hit");
    const lookups = sum(now.cache, (row) => row[0] === "memory");
    const states = grouped(now.workers, 0);
    const tiles = [
      ["requests", "Requests", short(sum(now.requests))],
      ["rate", "A second", short(point.requests)],
      ["failures", "Failed (5xx)", percent(sum(now.requests, (row) => row[2] >= "500") / sum(now.requests))],
      ["flight", "In flight", short(sum(now.in_flight))],
      ["median", "Median", time(quantile(0.5, now.duration))],
      ["p99", "p99", time(quantile(0.99, now.duration))],
      ["first", "First token, p95", time(quantile(0.95, now.first))],
      ["own", "Own time, p99", time(quantile(0.99, now.overhead))],
      ["tokens", "Tokens", short(sum(now.tokens, (row) => row[2] === "input" || row[2] === "output"))],
      ["spent", "Spent", usd(sum(now.cost))],
      ["saved", "Saved", usd(sum(now.saved))],
      ["hits", "Hit ratio", percent(hits / lookups)],
      ["workers", "Workers", [...states].filter(([, n]) => n).map(([state, n]) => n + " " + state).join(", ") || "1"],
      ["connections", "Connections", short(sum(now.connections))],
    ];
    const room = byId("tiles");
    for (const [name, label, value] of tiles) {
      const id = "tile-" + name;
      if (!byId(id)) room.append(make("div", {}, make("dt", {}, label), make("dd", { id })));
      byId(id).textContent = value;
    }
  };

  const drawTables = (now) => {
    for (const [id, at] of [["models", 0], ["tenants", 1]]) {
      const asked = grouped(now.requests, at);
      const failed = grouped(now.requests, at, (row) => row[2] >= "500");
      const read = grouped(now.tokens, at, (row) => row[2] === "input");
      const written = grouped(now.tokens, at, (row) => row[2] === "output");
      const cost = grouped(now.cost, at);
      const saved = grouped(now.saved, at);
      const names = [...new Set([...asked.keys(), ...cost.keys()])].sort((a, b) => (asked.get(b) || 0) - (asked.get(a) || 0));
      const of = (found, name, format) => format(found.get(name) || 0);
      table(id, [at ? "tenant" : "model", "#requests", "#failed", "#input", "#output", "#spent", "#saved"],
        names.slice(0, 30).map((name) => [name || "(none)", of(asked, name, short), of(failed, name, short), of(read, name, short), of(written, name, short), of(cost, name, usd), of(saved, name, usd)]),
        "no requests yet", names.map((name) => name || "(none)"));
    }
    const tiers = ["memory", "redis", "joined"];
    const entries = grouped(now.entries, 0), size = grouped(now.cache_bytes, 0), saved = grouped(now.saved, 2);
    table("cache", ["tier", "#hits", "#misses", "#trouble", "#answers", "#bytes", "#saved"], tiers.map((tier) => {
      const of = (pick) => sum(now.cache, (row) => row[0] === tier && pick(row[1]));
      const joined = tier === "joined";
      return [tier, short(joined ? sum(now.joined) : of((r) => r === "hit")), joined ? "–" : short(of((r) => r === "miss")), joined ? "–" : short(of((r) => r !== "hit" && r !== "miss")),
        entries.has(tier) ? short(entries.get(tier)) : "–", size.has(tier) ? bytes(size.get(tier)) : "–", usd(saved.get(tier) || 0)];
    }), "", tiers);
    const limits = now.limits.map(([limit, decision, n]) => ["limit: " + limit, decision, short(n)]);
    const refused = now.errors.map(([kind, n]) => ["failure", kind, short(n)]);
    table("limits", ["what", "which", "#requests"], [...limits, ...refused], "nothing was refused");
    table("unpriced", ["upstream", "#answers"], Object.entries(now.unpriced).map(([upstream, n]) => [upstream, short(n)]), "all answers had a price");
  };

  // What is left of limits takes a look at all keys, so it is asked for now and then.
  const used = (spent, most) => make("meter", { min: 0, max: most, value: Math.min(spent, most), "aria-label": percent(spent / most) + " used" });
  const drawLimits = async () => {
    const mine = runs;
    const answer = await ask("/admin/api/usage?days=1&by=key");
    if (!answer.ok) return;
    const { limits } = await answer.json();
    if (mine !== runs) return; // logged out meanwhile
    table("left", ["of", "#tokens a minute", "#left", "#budget", "#spent", "used", "until"], limits.map((each) => {
      const money = each.budget_usd !== null;
      const counted = money ? each.spent_usd !== null : each.tokens_left !== null;
      const meter = !counted ? "–" : money ? used(each.spent_usd + each.reserved_usd, each.budget_usd) : used(each.tokens_per_minute - each.tokens_left, each.tokens_per_minute);
      return [each.scope + " " + each.name, each.tokens_per_minute === null ? "–" : short(each.tokens_per_minute), each.tokens_left === null ? "–" : short(each.tokens_left),
        money ? usd(each.budget_usd) + " a " + each.per : "–", each.spent_usd === null ? "–" : usd(each.spent_usd), meter, each.resets_at ? new Date(each.resets_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hour12: false }) : "–"];
    }), "no key, tenant or model has one", limits.map((each) => each.scope + " " + each.name));
  };
  setInterval(() => !byId("figures").hidden && drawLimits().catch(() => {}), 5000);

  const KINDS = { closed: "good", half_open: "warn", open: "bad", drained: "warn" };
  const drawUpstreams = (now) => {
    const workers = new Map();
    for (const [provider, model, state, n] of now.circuits) if (n) workers.set(provider + "/" + model, [...(workers.get(provider + "/" + model) || []), n + " " + state.replace("_", " ")]);
    table("upstreams", ["upstream", "order", "state", "workers", "#in flight", "#failures", "#first content", "#openings"], now.upstreams.map((each) => {
      const drained = each.state === "drained";
      const button = make("button", { type: "button", "data-upstream": each.upstream, "aria-label": (drained ? "Restore " : "Drain ") + each.upstream,
        on: { click: () => order(each.upstream, drained ? "restore" : "drain") } }, drained ? "Restore" : "Drain");
      return [each.upstream, button, text(KINDS[each.state] || "", each.state.replace("_", " ")), (workers.get(each.upstream) || []).join(", ") || "–", each.in_flight, percent(each.error_rate), time(each.first_content_s), each.openings];
    }), "no upstream is named or was asked", now.upstreams.map((each) => each.upstream));
  };
  const order = async (upstream, action) => {
    const mine = runs;
    const answer = await ask("/admin/api/upstreams/order", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ upstream, action }) }).catch(() => ({ status: "no answer" }));
    if (mine === runs) byId("ordered").textContent = answer.ok ? upstream + ": " + (action === "drain" ? "drained, no more requests are sent" : "restored") : "That did not work: " + answer.status;
  };

  const drawRequests = () => {
    table("requests", ["time", "request", "status", "model", "asked of", "#time", "#own", "#tokens", "#cost"], requests.map((each) => {
      const good = each.outcome === "ok";
      const open = make("button", { type: "button", class: "link", "data-request": each.request_id, on: { click: () => show(each) } }, each.request_id.slice(0, 12));
      return [clock(each.at), open, text(good ? "good" : each.status >= 500 ? "bad" : "warn", each.status + (each.error ? " " + each.error : "")), each.model || "–",
        each.provider ? each.provider + "/" + each.upstream_model : each.cache ? "cache: " + each.cache : "–", time(each.duration_s), time(each.overhead_s),
        each.input_tokens >= 0 ? each.input_tokens + " + " + Math.max(each.output_tokens, 0) : "–", each.cost_usd === null ? "–" : usd(each.cost_usd)];
    }), "no requests yet", requests.map((each) => each.request_id + each.at));
  };
  const bar = (all, from, took, kind) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("class", "span");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("viewBox", "0 0 1000 10");
    svg.setAttribute("preserveAspectRatio", "none");
    for (const [x, width, name] of [[0, 1000, "rest"], [all ? 1000 * from / all : 0, all ? Math.max(3, 1000 * took / all) : 0, kind]]) {
      const rect = document.createElementNS(space, "rect");
      for (const [attribute, value] of Object.entries({ x, y: 0, width, height: 10, class: name })) rect.setAttribute(attribute, value);
      svg.append(rect);
    }
    return svg;
  };
  const show = (each) => {
    const all = each.duration_s;
    const steps = [];
    for (const one of each.attempts) {
      const said = { ok: "answered", failed: "failed: " + (one.status || one.error || "") + ", " + (one.kind || ""), given_up: "given up" }[one.outcome];
      steps.push([one.upstream + " " + said, one.after_ms / 1e3, one.took_ms / 1e3, one.outcome === "failed" ? "fail" : "wait"]);
    }
    const by = each.provider + "/" + each.upstream_model;
    if (each.first_content_s > 0) {
      steps.push(["until the first content" + (each.provider ? " of " + by : ""), 0, each.first_content_s, "wait"]);
      steps.push(["the rest of the stream", each.first_content_s, Math.max(all - each.first_content_s, 0), "wait"]);
    } else if (!each.attempts.length && each.provider) steps.push([by + " answers", Math.max(all - each.upstream_s, 0), each.upstream_s, "wait"]);
    steps.push(["the edge itself, all together", 0, each.overhead_s, "own"]);
    const facts = { request: each.request_id, time: clock(each.at), endpoint: each.endpoint, status: each.status + (each.error ? " " + each.error + " (" + each.kind + ")" : ""), model: each.model, key: each.key, tenant: each.tenant,
      "answered by": each.provider ? each.provider + "/" + each.upstream_model : each.stored || "–", cache: each.cache, stream: each.stream ? "yes" : "no", attempts: each.asked, "in all": time(all), body: bytes(each.request_bytes) + " in, " + bytes(each.response_bytes) + " out",
      tokens: each.input_tokens >= 0 ? each.input_tokens + " in, " + Math.max(each.output_tokens, 0) + " out" : "", cost: each.cost_usd === null ? "" : usd(each.cost_usd) + (each.estimated ? " (estimated)" : ""), "personal data": each.pii, trace: each.trace_id };
    byId("about").replaceChildren(
      make("dl", {}, ...Object.entries(facts).filter(([, said]) => said !== "" && said !== null && said !== undefined).flatMap(([name, said]) => [make("dt", {}, name), make("dd", {}, String(said))])),
      make("h3", {}, "Timeline"),
      make("ol", { class: "line" }, ...steps.map(([said, from, took, kind]) => make("li", {}, said + ": " + time(took), bar(all, from, took, kind)))));
    byId("detail").showModal();
  };

  const drawReload = (now) => {
    const { at, changed, serving } = now.configuration;
    const said = at ? "The configuration was last changed at " + clock(at) + (changed.length ? ", in:" : ", in nothing that is seen here.") : "The configuration has not changed since the start at " + clock(serving) + ".";
    const failed = now.reloaded.some(([ok]) => ok === 0);
    byId("reload").replaceChildren(...(failed ? [make("p", { class: "bad" }, "The configuration that was read last could not be used: the log says why, and the one before it stays.")] : []), make("p", {}, said), ...(changed.length ? [make("ul", {}, ...changed.map((path) => make("li", {}, make("code", {}, path))))] : []));
  };

  const draw = (state) => {
    const now = { ...state, ...state.figures, ...state.figures.tables, ...state.figures.histograms };
    const build = now.version + ", " + now.build;
    if (byId("build").textContent !== build) byId("build").textContent = build; // another after an upgrade
    last = last || now;
    if (now.at > last.at || !series.at.length) {
      const point = note(now, last);
      last = now;
      drawTiles(now, point);
      drawTables(now);
      drawUpstreams(now);
      drawReload(now);
      fillCharts();
    }
    if (now.requests_done.length) {
      const known = new Set(requests.map((each) => each.request_id + each.at));
      requests = [...now.requests_done.filter((each) => !known.has(each.request_id + each.at)), ...requests].sort((a, b) => b.at - a.at).slice(0, 100);
      drawRequests();
    } else if (!byId("requests").tHead) drawRequests();
  };

  // Talking to the edge.
  const ask = (path, options = {}) => fetch(path, { cache: "no-store", credentials: "omit", ...options, headers: { ...(options.headers || {}), ...(key ? { authorization: "Bearer " + key } : {}) } });
  const say = (said, kind) => { const status = byId("status"); if (status.textContent !== said) status.textContent = said; status.className = kind || ""; };
  const soon = (told) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("silent")), SILENT_MS);
    told.then(resolve, reject).finally(() => clearTimeout(timer));
  });
  const follow = async () => {
    stop = new AbortController();
    const answer = await soon(ask("/admin/api/live", { signal: stop.signal }));
    if (answer.status === 401 || answer.status === 403) { const error = new Error("refused"); error.refused = answer.status; throw error; }
    if (!answer.ok) throw new Error("status " + answer.status);
    if (!byId("login").hidden) byId("main").focus();
    byId("login").hidden = true;
    byId("figures").hidden = false;
    byId("leave").hidden = !key;
    if (!charts.length) drawCharts();
    say("live", "live");
    drawLimits().catch(() => {}); // the stream says when the edge is gone
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { done, value } = await soon(reader.read());
      if (done) return;
      held += value;
      const events = held.split("\n\n");
      held = events.pop();
      for (const event of events) if (event.startsWith("data: ")) draw(JSON.parse(event.slice(6)));
    }
  };
  // Nothing of what was shown stays behind for who comes next.
  const forget = () => {
    last = null;
    requests = [];
    for (const name in series) series[name] = [];
    charts.forEach(([chart]) => chart.destroy());
    charts = [];
    if (byId("detail").open) byId("detail").close();
    for (const id of ["tiles", "charts", "about", "reload", "ordered", "build"]) byId(id).replaceChildren();
    for (const each of document.querySelectorAll("#figures table")) each.replaceChildren();
  };
  const login = (refused) => {
    byId("figures").hidden = true;
    byId("leave").hidden = true;
    byId("login").hidden = false;
    byId("refused").textContent = refused && key ? (refused === 403 ? "This key is not an admin's." : "This key is not known.") : "";
    key = "";
    say("not logged in");
    byId("key").focus();
  };
  const run = async () => {
    const mine = ++runs;
    if (stop) stop.abort();
    while (mine === runs) {
      let refused = 0;
      try { await follow(); } catch (error) { refused = error.refused; }
      if (mine !== runs) return;
      stop.abort(); // what is silent is not heard any more
      if (refused) return leave(refused);
      say("connection lost, trying again", "lost");
      await new Promise((over) => setTimeout(over, 1000));
    }
  };
  const leave = (refused) => { runs++; stop.abort(); forget(); login(refused); };
  byId("login").addEventListener("submit", (event) => {
    event.preventDefault();
    key = byId("key").value.trim();
    byId("key").value = "";
    if (/[^ -~]/.test(key)) login(401); // no header can say it
    else run();
  });
  byId("leave").addEventListener("click", () => leave());
  addEventListener("resize", () => charts.forEach(([chart]) => chart.setSize({ width: Math.max(chart.root.parentElement.clientWidth, 240), height: 170 })));
  dark.addEventListener("change", () => charts.length && drawCharts());
  run();
})();
