// What a chat is: a tree of messages, of which one path is shown.

/** A tool's call within an assistant's message; `result` is there once the tool has answered. */
export interface Call {
  id: string;
  name: string;
  /** JSON text; grows while it streams. */
  arguments: string;
  result?: string;
}

export interface TextFile {
  name: string;
  text: string;
}

interface Stats {
  /** Tokens of the prompt, and how many of them the server had read before. */
  prompt: number;
  cached: number;
  answer: number;
  /** Seconds until the first token, and from there to the last. */
  wait: number;
  seconds: number;
}

/** Why an answer ended. "stopped": the person did; "error": `error` says it. */
type Finish = "stop" | "length" | "tool_calls" | "stopped" | "error";

export interface Message {
  id: string;
  parent: string | null;
  role: "user" | "assistant";
  content: string;
  time: number;
  files?: TextFile[];
  thought?: string;
  calls?: Call[];
  stats?: Stats;
  finish?: Finish;
  error?: string;
  edited?: boolean;
  /** The answer was held to JSON. */
  json?: boolean;
}

/** Settings that are numbers and have the same name in a request. */
export const samplingNames = [
  "temperature",
  "top_k",
  "top_p",
  "min_p",
  "repetition_penalty",
  "presence_penalty",
  "frequency_penalty",
  "seed",
  "max_tokens",
] as const;
/** All settings that are numbers; `thoughtBudget` is the most tokens of a thought. Undefined: as the model has it. */
export const numberNames = ["thoughtBudget", ...samplingNames] as const;
export type NumberName = (typeof numberNames)[number];

export interface Settings extends Partial<Record<NumberName, number>> {
  system: string;
  think: boolean;
  /** Texts that end an answer, one a line. */
  stop: string;
  form: "text" | "json" | "schema";
  schema: string;
  /** Names of the page's own tools that are switched on. */
  tools: string[];
  /** A JSON array of more tools, whose results are typed in. */
  ownTools: string;
  toolChoice: "auto" | "required";
}

export interface Chat {
  bezel_chat: 1;
  id: string;
  title: string;
  created: number;
  updated: number;
  model: string;
  /** The last message of the path that is shown. */
  leaf: string | null;
  settings: Settings;
  messages: Message[];
}

/** An entry of the list of saved chats. */
export interface ChatHead {
  id: string;
  title: string;
  created: number;
  updated: number;
  revision: number;
  bytes: number;
  found?: string;
}

/** /page.json. What is optional is told of the loaded model alone. */
export interface Facts {
  /** The loaded model, else the one that answers unless asked otherwise, or "". */
  model: string;
  version: string;
  /** Whether models can be chosen by name, pulled and deleted here. */
  store: boolean;
  loaded: boolean;
  chats: boolean;
  context?: number;
  thinking?: boolean;
  sampling?: { temperature: number; top_k: number; top_p: number; min_p: number };
}

/** A model of /api/tags. */
export interface StoredModel {
  name: string;
  /** Bytes. */
  size: number;
  details: { family: string; parameter_size: string; quantization_level: string };
  bezel: { place: string; ours: boolean; loaded: boolean };
}

/** A line of what /api/pull answers; bytes are those of all files. */
export interface PullStep {
  status?: string;
  total?: number;
  completed?: number;
  error?: string;
}

export const plainSettings: Settings = {
  system: "",
  think: false,
  stop: "",
  form: "text",
  schema: "",
  tools: [],
  ownTools: "",
  toolChoice: "auto",
};
