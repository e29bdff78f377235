import { mount } from "svelte";
import App from "./App.svelte";
import "./fonts.css";
import "./tokens.css";
import "./frame.css";
import "./tile.css";
import { apply_theme } from "./lib/prefs.svelte";

apply_theme();
const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");
mount(App, { target });
