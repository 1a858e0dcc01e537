// The OpenAPI document, for people.

import { ask, element } from "/page/api.js";

const api = await ask("/openapi.json");

function resolved(schema) {
  return schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function kind(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  return schema.type ?? "anything";
}

function bounds(schema) {
  const { minimum, exclusiveMinimum, maximum } = { ...schema, ...schema.anyOf?.find((one) => one.type !== "null") };
  return [minimum !== undefined && `at least ${minimum}`, exclusiveMinimum !== undefined && `above ${exclusiveMinimum}`,
    maximum !== undefined && `at most ${Number.isSafeInteger(maximum) ? maximum : maximum.toPrecision(3)}`].filter(Boolean).join(", ");
}

function fields(schema) {
  const { properties, required = [] } = resolved(schema) ?? {};
  if (!properties) return element("p", {}, kind(schema));
  const rows = Object.entries(properties).map(([name, field]) => element("tr", {},
    element("th", { scope: "row" }, element("code", {}, name), required.includes(name) ? " (required)" : ""),
    element("td", {}, kind(field)),
    element("td", {}, [field.description?.replace(/\.$/, ""), bounds(field), field.default !== undefined && field.default !== null
      ? `default ${JSON.stringify(field.default)}` : ""].filter(Boolean).join("; "))));
  return element("div", { class: "scroll", tabindex: 0 }, element("table", {}, element("tbody", {}, ...rows)));
}

const place = document.getElementById("addresses");
place.append(element("p", {}, api.info.description));
let group;
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, about] of Object.entries(methods)) {
    if (about.tags[0] !== group) place.append(element("h2", {}, (group = about.tags[0])));
    const body = about.requestBody?.content["application/json"]?.schema;
    const answer = about.responses["200"]?.content?.["application/json"]?.schema;
    const details = element("details", {}, element("summary", {}, element("code", {}, `${method.toUpperCase()} ${path}`),
      ` ${about.description.replaceAll("``", "")}`));
    if (body) details.append(element("h3", {}, "Request"), fields(body));
    if (answer) details.append(element("h3", {}, `Answer: ${kind(answer)}`), fields(answer.items ?? answer));
    place.append(details);
  }
}
