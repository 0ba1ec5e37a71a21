import "./style/base.css";
import "./style/layout.css";
import "./style/message.css";

import { render } from "preact";

import { App } from "./app";

render(<App />, document.getElementById("app")!);
