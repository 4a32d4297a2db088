"use strict";
// Shows /openapi.json and lets one try it. Text goes in as text, never as markup; nothing is stored.

const at = (id) => document.getElementById(id);

function element(name, text, children) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const child of children || []) made.append(child);
  return made;
}

function table(heads, rows) {
  const head = element("tr", null, heads.map((text) => element("th", text)));
  const body = rows.map((row) => {
    const line = element("tr", null, row.cells.map((cell) => (cell instanceof Node ? element("td", null, [cell]) : element("td", cell))));
    if (row.id) line.id = row.id;
    return line;
  });
  const whole = element("table", null, [element("thead", null, [head]), element("tbody", null, body)]);
  const wide = element("div", null, [whole]);
  wide.className = "wide";
  return wide;
}

// -- the document ------------------------------------------------------------------------------------------------------

const resolve = (api, schema) => (schema && schema.$ref ? schema.$ref.slice(2).split("/").reduce((node, key) => node[key], api) : schema);

function paragraphs(text) {
  const parts = [];
  let list = null;
  for (const line of text.split("\n")) {
    if (line.startsWith("* ")) {
      if (!list) parts.push((list = element("ul")));
      list.append(element("li", line.slice(2).replaceAll("`", "")));
    } else {
      list = null;
      if (line.trim()) parts.push(element("p", line.replaceAll("`", "")));
    }
  }
  return parts;
}

function showOperations(api) {
  const section = at("operations");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      section.append(element("h2", method.toUpperCase() + " " + path), element("p", operation.summary));
      if (operation.description) section.append(element("p", operation.description));
      const rows = Object.entries(operation.responses).map(([status, response]) => {
        const described = resolve(api, response).description.replaceAll("`", "");
        return { cells: [element("code", status), described] };
      });
      section.append(table(["status", "meaning"], rows));
    }
  }
}

function showCauses(api) {
  const rows = [];
  for (const response of Object.values(api.components.responses)) {
    const schema = Object.values(response.content)[0].schema.allOf[1].properties;
    const titles = response.description.split(". ");
    schema.cause.enum.forEach((name, index) => {
      rows.push({ id: name, cells: [element("code", name), String(schema.status.const), (titles[index] || "").split(": ").slice(1).join(": ")] });
    });
  }
  at("causes").append(element("h2", "Causes"), table(["cause", "status", "meaning"], rows));
}

function showFields(api) {
  const properties = api.components.schemas.Request.properties;
  const numbers = Object.keys(properties).filter((key) => /^\d+$/.test(key));
  const rows = numbers.map((key) => {
    const field = properties[key];
    const text = field.anyOf ? field.anyOf[0] : field;
    const what = (field.description || "").replace(/^Field \d+, /, "");
    return { cells: [element("code", key), field.title, what, element("code", text.pattern || "")] };
  });
  at("fields").append(element("h2", "Fields"), table(["field", "name", "type", "pattern"], rows));
}

// -- samples -----------------------------------------------------------------------------------------------------------

const two = (number) => String(number).padStart(2, "0");

function samples(api) {
  const now = new Date();
  const date = two(now.getMonth() + 1) + two(now.getDate());
  const time = two(now.getHours()) + two(now.getMinutes()) + two(now.getSeconds());
  const known = api.components.schemas.Request.properties;
  const local = known["12"] && JSON.stringify(known["12"]).includes('"maxLength":12') ? two(now.getFullYear() % 100) + date + time : time;
  const stan = String(Math.floor(Math.random() * 999999) + 1).padStart(6, "0");
  const only = (fields) => Object.fromEntries(Object.entries(fields).filter(([key]) => known[key]));
  return {
    echo: only({ 0: "0800", 3: "990000", 7: date + time, 11: stan, 12: local, 24: "831", 41: "00000001" }),
    purchase: only({
      0: "0200", 3: "000000", 4: "000000001000", 7: date + time, 11: stan, 12: local, 13: date, 22: "056", 24: "200", 25: "00",
      35: "4850781234567891=19082012232800000037", 41: "00000001", 42: "000124642124643", 49: "810",
    }),
  };
}

function offerSamples(api) {
  for (const name of ["echo", "purchase"]) {
    const button = element("button", name === "echo" ? "Echo, now" : "Purchase, now");
    button.type = "button";
    button.addEventListener("click", () => {
      at("body").value = JSON.stringify(samples(api)[name], null, 2);
    });
    at("samples").append(button);
  }
  at("body").value = JSON.stringify(samples(api).echo, null, 2);
}

// -- trying ------------------------------------------------------------------------------------------------------------

async function ask(path, options) {
  const key = at("key").value.trim();
  if (key) options.headers["X-Api-Key"] = key;
  const status = at("status");
  status.className = "";
  status.textContent = "…";
  at("answer").hidden = true;
  try {
    const begin = performance.now();
    const response = await fetch(path, { ...options, credentials: "omit", cache: "no-store" });
    const text = await response.text();
    status.textContent = response.status + " " + response.statusText + ", " + Math.round(performance.now() - begin) + " ms";
    status.className = response.ok ? "good" : "bad";
    let shown = text;
    try {
      const body = JSON.parse(text);
      shown = JSON.stringify(body, null, 2);
      if (body.id) at("id").value = body.id;
    } catch (_) { /* shown as it came */ }
    at("answer").textContent = shown;
    at("answer").hidden = false;
  } catch (error) {
    status.textContent = "no answer: " + error.message;
    status.className = "bad";
  }
}

at("try").addEventListener("submit", (event) => {
  event.preventDefault();
  const headers = { "Content-Type": "application/json" };
  const idempotency = at("idempotency").value.trim();
  if (idempotency) headers["Idempotency-Key"] = idempotency;
  ask("/v1/transactions", { method: "POST", headers, body: at("body").value });
});

at("look").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("/v1/transactions/" + encodeURIComponent(at("id").value.trim()), { method: "GET", headers: {} });
});

fetch("/openapi.json", { credentials: "omit" })
  .then((response) => response.json())
  .then((api) => {
    at("version").textContent = api.info.version;
    at("about").append(...paragraphs(api.info.description));
    offerSamples(api);
    showOperations(api);
    showCauses(api);
    showFields(api);
    // The parts did not exist yet when the browser looked for its target.
    const target = location.hash && at(location.hash.slice(1));
    if (target) target.scrollIntoView();
  })
  .catch((error) => at("about").append(element("p", "openapi.json cannot be shown: " + error.message)));
