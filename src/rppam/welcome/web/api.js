// Shows /openapi.json: every operation by its tag, with parameters, body and answers. It only makes elements and texts,
// never markup, and asks no other host.
"use strict";

function made(kind, text, name) {
  const one = document.createElement(kind);
  if (text !== undefined) one.textContent = text;
  if (name) one.className = name;
  return one;
}

function row(kind, cells) {
  const line = made("tr");
  for (const cell of cells) line.append(made(kind, cell));
  return line;
}

function table(heads, rows) {
  const whole = made("table");
  whole.append(row("th", heads), ...rows.map((cells) => row("td", cells)));
  return whole;
}

function resolved(api, schema) {
  if (!schema || !schema.$ref) return schema;
  return schema.$ref.replace(/^#\//, "").split("/").reduce((at, word) => at && at[word], api);
}

function kindOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  if (schema.type === "array") return "list of " + (kindOf(schema.items) || "anything");
  return [schema.type, schema.format].filter(Boolean).join(", ");
}

function fields(api, schema) {
  const whole = resolved(api, schema);
  if (!whole || !whole.properties) return undefined;
  const needed = new Set(whole.required || []);
  return table(
    ["field", "type", "meaning"],
    Object.entries(whole.properties).map(([name, one]) => [
      name + (needed.has(name) ? "" : " (optional)"),
      kindOf(one),
      one.description || "",
    ]),
  );
}

function contents(api, holder) {
  const content = (holder && holder.content) || {};
  return content["application/json"] ? content["application/json"].schema : undefined;
}

function details(api, operation) {
  const parts = [];
  if (operation.description) parts.push(made("p", operation.description));
  const parameters = (operation.parameters || []).map((one) => resolved(api, one));
  if (parameters.length) {
    parts.push(
      made("h4", "Parameters"),
      table(
        ["name", "in", "type", "meaning"],
        parameters.map((one) => [
          one.name + (one.required ? "" : " (optional)"),
          one.in,
          kindOf(one.schema),
          one.description || "",
        ]),
      ),
    );
  }
  const body = contents(api, operation.requestBody);
  if (body) {
    parts.push(made("h4", "Body: " + kindOf(body)));
    const shown = fields(api, body);
    if (shown) parts.push(shown);
  }
  const answers = Object.entries(operation.responses || {});
  parts.push(
    made("h4", "Answers"),
    table(
      ["status", "body", "meaning"],
      answers.map(([status, one]) => [status, kindOf(contents(api, one)), one.description || ""]),
    ),
  );
  for (const [status, one] of answers) {
    const shown = status.startsWith("2") ? fields(api, contents(api, one)) : undefined;
    if (shown) parts.push(made("h4", "Body of " + status), shown);
  }
  return parts;
}

function shownOperation(api, path, method, operation) {
  const one = made("details");
  const head = made("summary");
  head.append(
    made("span", method, "method"),
    made("span", path, "path"),
    made("span", operation.summary || "", "what"),
  );
  one.append(head);
  one.dataset.text = [method, path, operation.summary, operation.description].join(" ").toLowerCase();
  one.addEventListener("toggle", () => {
    if (one.open && one.childElementCount === 1) one.append(...details(api, operation));
  });
  return one;
}

async function show() {
  const about = document.getElementById("about");
  const place = document.getElementById("operations");
  let api;
  try {
    const answer = await fetch("/openapi.json", { credentials: "omit" });
    if (!answer.ok) throw new Error("status " + answer.status);
    api = await answer.json();
  } catch (error) {
    about.textContent = "The description cannot be loaded (" + error.message + "). Load this page again in a moment.";
    return;
  }
  about.textContent = api.info.title + " " + api.info.version + ". " + (api.info.description || "");
  const sections = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = (operation.tags || ["other"])[0];
      if (!sections.has(tag)) sections.set(tag, []);
      sections.get(tag).push(shownOperation(api, path, method, operation));
    }
  }
  for (const tag of [...sections.keys()].sort()) {
    const section = made("section");
    section.append(made("h2", tag), ...sections.get(tag));
    place.append(section);
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const section of place.children) {
      let any = false;
      for (const one of section.querySelectorAll("details")) {
        one.hidden = !one.dataset.text.includes(wanted);
        any = any || !one.hidden;
      }
      section.hidden = !any;
    }
  });
}

show();
