// Models on the server's machine: which there are, pulling and deleting.
import { signal } from "@preact/signals";

import { deleteModel, getStored, pullSteps } from "./api";
import { readModels, report, say } from "./state";
import { duration, size } from "./text";
import type { PullStep, StoredModel } from "./types";

export interface Pull {
  model: string;
  stop: AbortController;
  /** What the server does. */
  status: string;
  /** Bytes of all files, 0 before they are known; bytes that are here; bytes a second, 0 before they are known. */
  total: number;
  here: number;
  rate: number;
}

export const modelsShown = signal(false);
export const stored = signal<StoredModel[] | null>(null);
export const pulling = signal<Pull | null>(null);
/** How the last pull ended, or the last thing done with the list. */
export const outcome = signal<{ of: "pull" | "list"; text: string; bad: boolean }>({ of: "pull", text: "", bad: false });
export const forgetOutcome = () => (outcome.value = { of: "pull", text: "", bad: false });

const span = 5000; // milliseconds that a rate is taken over

/** Bytes a second over the last few seconds. */
export class Pace {
  private marks: { time: number; bytes: number }[] = [];

  /** The rate once `bytes` are here at `time` (milliseconds); 0 in the first second. */
  at(time: number, bytes: number): number {
    if (bytes < (this.marks.at(-1)?.bytes ?? 0)) this.marks = []; // a file begins anew
    this.marks.push({ time, bytes });
    while (this.marks.length > 2 && time - this.marks[1]!.time >= span) this.marks.shift();
    const first = this.marks[0]!;
    return time - first.time < 1000 ? 0 : ((bytes - first.bytes) * 1000) / (time - first.time);
  }
}

export const percent = (p: Pull) => (p.total ? Math.floor((100 * p.here) / p.total) : 0);

/** "42 %, 1.20 GB of 2.86 GB, 11.3 MB/s, 3 min left". */
export function progressText(p: Pull): string {
  if (!p.total) return "";
  const parts = [`${percent(p)} %`, `${size(p.here)} of ${size(p.total)}`];
  if (p.rate > 0 && p.here < p.total) parts.push(`${size(Math.round(p.rate))}/s`, `${duration((p.total - p.here) / p.rate)} left`);
  return parts.join(", ");
}

function ended(text: string, bad = false): void {
  outcome.value = { of: "pull", text, bad };
  if (modelsShown.value) return; // it is said there
  if (bad) report(new Error(text));
  else say(text);
}

/** Reads the names of models for chats, and then the list for the dialog. */
export async function readStored(): Promise<void> {
  try {
    const list = await getStored();
    await readModels();
    stored.value = list; // what is shown can be used
  } catch (error) {
    outcome.value = { of: "list", text: (error as Error).message, bad: true };
  }
}

/** Pulls one model at a time; goes on where an earlier pull of it stopped. */
export async function pull(model: string): Promise<boolean> {
  if (pulling.value) return false;
  const stop = new AbortController();
  const pace = new Pace();
  forgetOutcome();
  pulling.value = { model, stop, status: "", total: 0, here: 0, rate: 0 };
  let good = false;
  try {
    for await (const step of pullSteps(model, stop.signal)) show(step, pace);
    good = true;
  } catch (error) {
    if (stop.signal.aborted) ended("Stopped. Pulling it again goes on from there.");
    else ended((error as Error).message, true);
  }
  pulling.value = null;
  if (good) {
    ended(`${model} is here.`);
    await readStored();
  }
  return good;
}

function show(step: PullStep, pace: Pace): void {
  const p = pulling.value;
  if (!p) return;
  const next = { ...p, status: step.status ?? p.status };
  if (step.total) {
    next.total = step.total;
    next.here = Math.min(step.completed ?? 0, step.total);
    next.rate = pace.at(performance.now(), next.here);
  }
  pulling.value = next;
}

export async function removeModel(model: string): Promise<void> {
  try {
    await deleteModel(model);
    outcome.value = { of: "list", text: `${model} is deleted.`, bad: false };
  } catch (error) {
    outcome.value = { of: "list", text: (error as Error).message, bad: true };
  }
  await readStored();
}
