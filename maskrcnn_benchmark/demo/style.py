"""The style of the demo's page and its few lines of script."""

# A click, or the return key, on a sample's button tells the server its number
SAMPLES_SCRIPT = """
element.addEventListener("click", event => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("click", { index: Number(button.dataset.index) });
});
"""
# A chosen file is sent, and the server told by which key it has it; what it would refuse for its size is not sent
UPLOAD_SCRIPT = """
const say = sentence => {
  document.querySelector("#refused")?.remove();
  if (!sentence) return;
  const words = document.createElement("p");
  words.id = "refused"; words.className = "message error"; words.role = "alert"; words.textContent = sentence;
  document.querySelector("#answers").prepend(words);
};
const send = async file => {
  const address = "uploads?name=" + encodeURIComponent(file.name);
  const response = await fetch(address, { method: "POST", body: file }).catch(() => null);
  const reply = await response?.json().catch(() => null);
  if (reply?.key) trigger("upload", { key: reply.key });
  else say(reply?.message ?? `${file.name} was not sent; open the demo again by its link`);
};
element.addEventListener("change", async event => {
  const file = event.target.files?.[0], megabytes = bytes => Math.round(bytes / 1e6) + " MB";
  if (!file) return;
  const place = event.target.closest("label");
  say("");
  if (file.size > MOST_BYTES)
    say(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(MOST_BYTES)} are read`);
  else {
    place.classList.add("sending");
    await send(file);
    place.classList.remove("sending");
  }
  event.target.value = "";
});
document.addEventListener("click", event => { if (event.target.closest(".samples")) say(""); }, true);
"""
# A click on a picture shows it large; a pasted image goes the way of a chosen file
PAGE_SCRIPT = """
document.addEventListener("click", event => {
  const image = event.target.closest(".panels button")?.querySelector("img");
  if (!image) return;
  const view = document.createElement("dialog"), large = document.createElement("img");
  large.src = image.src; large.alt = image.alt; view.className = "large";
  view.ariaLabel = "enlarged picture; escape closes it";
  view.append(large); document.body.append(view);
  view.addEventListener("click", () => view.close());
  view.addEventListener("close", () => view.remove());
  view.showModal();
});
document.addEventListener("paste", event => {
  const file = [...event.clipboardData.files].find(file => file.type.startsWith("image/"));
  const input = document.querySelector("#upload input[type=file]");
  if (!file || !input) return;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
"""
STYLE = """
.gradio-container { --body-text-color-subdued: #667085; }
.dark .gradio-container, .gradio-container.dark { --body-text-color-subdued: #a3acba; }
.gradio-container { max-width: 1720px !important; width: 100%; margin: 0 auto !important;
  overflow: clip !important; }
.gradio-container h1 { font-size: 1.35rem; font-weight: 650; margin: 0; letter-spacing: -.01em; }
.gradio-container h2 { font-size: .95rem; font-weight: 600; margin: 0 0 .5rem; }
.gradio-container header { display: flex; flex-wrap: wrap; gap: .25rem 2rem; align-items: baseline;
  justify-content: space-between; padding: .25rem 0 .5rem; }
header dl { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; font-size: .85rem; }
header dl span { display: inline-flex; gap: .4rem; }
header dt { color: var(--body-text-color-subdued); } header dd { margin: 0; }
#columns { gap: 1.25rem; align-items: flex-start; }
#controls { gap: 1rem; }
.gradio-container .html-container, .gradio-container header { padding: 0 !important; }
#controls { padding: 0; }
#answers .block:has(.html-container > div:empty) { display: none; }
.upload { position: relative; display: grid; place-items: center; height: 132px; border-radius: 12px;
  border: 1px dashed var(--border-color-primary); background: var(--background-fill-secondary); font-size: .9rem; }
.upload input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0; cursor: pointer; }
.upload:hover, .upload:focus-within { border-color: var(--color-accent); }
.upload:focus-within { outline: 3px solid var(--color-accent); outline-offset: 2px; }
.upload.sending { opacity: .5; }
#layout { border: 0 !important; padding: 0; background: none; box-shadow: none; overflow: visible !important; }
#controls .form:has(> #layout) { border: 0; background: none; box-shadow: none; overflow: visible; }
#layout > span { display: block; font-size: .95rem; font-weight: 600; margin: 0 0 .5rem; padding: 0;
  color: var(--body-text-color); }
#layout .wrap:has(> label) { display: flex; flex-wrap: nowrap; gap: .25rem; padding: .25rem; border-radius: 8px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
#layout label { flex: 1; justify-content: center; padding: .3rem .75rem; border: 0; border-radius: 6px;
  background: none; box-shadow: none; font-size: .86rem; cursor: pointer; }
#layout label.selected { background: var(--background-fill-primary); box-shadow: 0 1px 3px rgb(0 0 0 / .2); }
#layout label:has(:focus-visible) { outline: 3px solid var(--color-accent); }
#layout input { position: absolute; opacity: 0; pointer-events: none; }
#layout label span { margin: 0; }
#tasks { gap: .1rem; }
#tasks .task { gap: .75rem; align-items: center; flex-wrap: nowrap; }
#tasks .block { border: 0; padding: 0; background: none; box-shadow: none; overflow: visible !important; }
#tasks .task > :first-child { flex: 0 0 188px; }
#tasks label { font-size: .86rem; padding: .3rem 0; white-space: nowrap; }
#tasks .task > :last-child .wrap:has(> .head) { display: flex; flex-direction: row-reverse; align-items: center;
  gap: .6rem; }
#tasks .head { margin: 0 !important; width: auto; flex: none; align-self: center; }
#tasks .tab-like-container { width: 3.4rem; margin: 0; }
#tasks input[type=number] { width: 100%; font-size: .82rem; padding: .15rem .3rem; height: auto;
  font-variant-numeric: tabular-nums; }
#tasks .slider_input_container { flex: 1; min-width: 0; }
#tasks .slider_input_container input { min-width: 0; width: 100%; }
#tasks .min_value, #tasks .max_value { display: none; }
.samples { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; }
.samples button, .panels button { padding: 0; border: 0; background: none; border-radius: 8px; display: block;
  width: 100%; cursor: pointer; overflow: hidden; }
.samples button { aspect-ratio: 4 / 3; }
.samples img { width: 100%; height: 100%; object-fit: cover; display: block; transition: transform .15s; }
.samples button:hover img { transform: scale(1.05); }
.samples button:focus-visible, .panels button:focus-visible, nav a:focus-visible {
  outline: 3px solid var(--color-accent); outline-offset: 2px; }
#answers { gap: .75rem; }
.message { margin: 0; padding: .6rem .9rem; border-radius: 8px; border: 1px solid var(--border-color-primary);
  background: var(--background-fill-secondary); font-size: .9rem; }
.message.error { border-left: 4px solid #d9480f; }
.message.note { border-left: 4px solid var(--color-accent); }
.welcome { display: grid; place-items: center; min-height: 22rem; margin: 0; color: var(--body-text-color-subdued);
  border: 1px dashed var(--border-color-primary); border-radius: 12px; text-align: center; padding: 1rem; }
.summary { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 0; font-size: .9rem; }
.summary span { color: var(--body-text-color-subdued); }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: 1rem; }
.panels figure { margin: 0; border: 1px solid var(--border-color-primary); border-radius: 12px; overflow: hidden;
  background: var(--background-fill-secondary); }
.panels figure[data-task=overlay] { grid-column: 1 / -1; }
.panels figcaption { font-size: .85rem; font-weight: 600; padding: .5rem .75rem; }
.panels button { cursor: zoom-in; border-radius: 0; }
.panels img { display: block; width: 100%; height: auto; }
nav { display: flex; flex-wrap: wrap; gap: .6rem; margin-bottom: 1rem; }
.gradio-container nav a { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .4rem .9rem;
  font-size: .9rem; text-decoration: none; color: var(--body-text-color); background: var(--background-fill-primary); }
.gradio-container nav a:hover { background: var(--background-fill-secondary); }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 1.5rem; }
.tables p { color: var(--body-text-color-subdued); margin: 0; font-size: .9rem; }
.wide { overflow-x: auto; }
.tables table { border-collapse: collapse; width: 100%; font-size: .88rem; }
.tables caption { caption-side: bottom; text-align: left; color: var(--body-text-color-subdued); padding-top: .4rem;
  font-size: .8rem; }
.tables th, .tables td { text-align: left; padding: .3rem .6rem .3rem 0; font-weight: 400;
  border-bottom: 1px solid var(--border-color-primary); }
.tables thead th { color: var(--body-text-color-subdued); font-size: .8rem; }
.tables .number, .tables .objects thead th:nth-child(n + 3) { text-align: right; font-variant-numeric: tabular-nums; }
.tables i { display: inline-block; width: .75em; height: .75em; border-radius: 3px; margin-right: .5em; }
.bar { display: inline-flex; align-items: center; gap: .5rem; font-variant-numeric: tabular-nums; }
.bar::before { content: ""; width: 72px; height: 6px; border-radius: 3px; background: linear-gradient(var(--colour),
  var(--colour)) 0 / calc(var(--part) * 100%) 100% no-repeat, var(--border-color-primary); }
dialog.large { border: 0; padding: 0; margin: auto; background: none; max-width: 96vw; max-height: 96vh; }
dialog.large::backdrop { background: rgb(0 0 0 / .8); }
dialog.large img { max-width: 96vw; max-height: 96vh; min-width: min(70vw, 1000px); object-fit: contain;
  cursor: zoom-out; display: block; border-radius: 8px; }
@media (min-width: 761px) and (min-height: 800px) { #controls { position: sticky; top: 1rem; } }
@media (max-width: 760px) { #controls { flex: 1 1 100% !important; padding: 0; } }
@media (prefers-reduced-motion: reduce) { .samples img { transition: none; } }
"""


def upload_script(most_bytes: int) -> str:
    """The script of the upload's place; files of more than `most_bytes` are not sent."""
    return f"const MOST_BYTES = {int(most_bytes)};{UPLOAD_SCRIPT}"


def head() -> str:
    """What goes into the page's head."""
    return f"<style>{STYLE}</style><script>{PAGE_SCRIPT}</script>"
