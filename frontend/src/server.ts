// What the server can be asked.

import { decode, encode, type Mask } from "./mask";
import type { Span } from "./spans";

export interface Thing {
  id: number;
  name: string;
  colour: [number, number, number];
}
export interface Project {
  id: string;
  name: string;
  width: number;
  height: number;
  count: number;
  fps: number;
  video: string;
  objects: Thing[];
  keyframes: number[];
  tracked: Span[];
  stale: Span[];
  revision: number;
  undo: string | null;
  redo: string | null;
}
export interface Summary {
  id: string;
  name: string;
  frames?: number;
  tracked?: number;
  objects?: number;
  video?: string;
  error?: string;
}
export interface Job {
  id: string;
  kind: string;
  project: string;
  state: "waiting" | "running" | "done" | "cancelled" | "failed";
  done: number;
  total: number | null;
  seconds_left: number | null;
  stage: string;
  numbers: Record<string, number>;
  error: string;
}
export interface Timeline {
  frames: number[];
  confidence: Record<string, (number | null)[]>;
}
export interface Point {
  step: number;
  loss: number;
}
export interface Learning {
  id: string;
  name: string;
  videos: string[];
  steps: number;
  made: string;
  state: "waiting" | "running" | "done" | "stopped";
  error: string;
  job: Job | null;
}
export interface Format {
  name: string;
  readers: string;
  suffix: string;
  // Whether edges can be soft in it.
  soft: boolean;
}
export interface About {
  version: string;
  weights: string;
  device: string;
  cores: number;
  speeds: Record<string, number>;
  most_upload_bytes: number;
  root: string;
}
export type Event_ =
  | { kind: "changed"; project: string; revision: number }
  | { kind: "frame"; project: string; index: number }
  | { kind: "job"; job: Job }
  | { kind: "behind" };

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await fetch(`/api${path}`, init);
  if (!answer.ok) {
    let text = `the server answered ${answer.status}`;
    try {
      const told = (await answer.json()) as { error?: string; detail?: unknown };
      text = told.error ?? JSON.stringify(told.detail);
    } catch {
      // not in words
    }
    throw new Error(text);
  }
  return (await answer.json()) as T;
}

const json = (method: string, body: unknown = {}): RequestInit => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

export const about = () => ask<About>("/about");
export const projects = () => ask<Summary[]>("/projects");
export const project = (id: string) => ask<Project>(`/projects/${id}`);
export const removeProject = (id: string) => ask<Summary[]>(`/projects/${id}`, { method: "DELETE" });
export const create = (path: string) => ask<Project>("/projects", json("POST", { path }));
export const demo = () => ask<Project>("/projects/demo", json("POST"));
export const browse = (path: string) =>
  ask<{ path: string; up: string | null; entries: { name: string; path: string; kind: string }[] }>(
    `/browse?path=${encodeURIComponent(path)}`,
  );
export const timeline = (id: string) => ask<Timeline>(`/projects/${id}/timeline`);
export const addObject = (id: string) => ask<Project>(`/projects/${id}/objects`, json("POST"));
export const changeObject = (id: string, object: number, change: Partial<Thing>) =>
  ask<Project>(`/projects/${id}/objects/${object}`, json("PATCH", change));
export const removeObject = (id: string, object: number) =>
  ask<Project>(`/projects/${id}/objects/${object}`, { method: "DELETE" });
export const mergeObjects = (id: string, object: number, into: number) =>
  ask<Project>(`/projects/${id}/objects/${object}/merge`, json("POST", { into }));
export const splitObject = (id: string, piece: { frame: number; x: number; y: number }) =>
  ask<Project>(`/projects/${id}/split`, json("POST", piece));
export const undo = (id: string) => ask<Project>(`/projects/${id}/undo`, json("POST"));
export const redo = (id: string) => ask<Project>(`/projects/${id}/redo`, json("POST"));
export interface Wanted {
  start: number;
  end: number;
  quality: string;
  // Id of a learning; empty for the weights that the server was started with.
  weights: string;
}
export const track = (id: string, wanted: Wanted) => ask<Job>(`/projects/${id}/track`, json("POST", wanted));
export interface Pixel {
  frame: number;
  x: number;
  y: number;
  quality: string;
  weights: string;
}
export const matches = (id: string, pixel: Pixel) => ask<Job>(`/projects/${id}/matches`, json("POST", pixel));
export const fill = (id: string, wanted: Wanted) => ask<Job>(`/projects/${id}/fill`, json("POST", wanted));
export const jobs = () => ask<Job[]>("/jobs");
export const cancel = (job: string) => ask<Job>(`/jobs/${job}`, { method: "DELETE" });
export const formats = (id: string) => ask<Format[]>(`/projects/${id}/formats`);
export const size = (id: string, format: string) =>
  ask<{ bytes: number | null; why: string }>(`/projects/${id}/formats/${format}`);
export const exportAs = (id: string, wanted: { format: string; soft: boolean }) => ask<Job>(`/projects/${id}/export`, json("POST", wanted));
export const learnings = () => ask<Learning[]>("/learning");
export const learning = (id: string) => ask<Learning & { curve: Point[]; pictures: string[] }>(`/learning/${id}`);
export const learn = (what: { projects: string[]; paths: string[]; steps: number }) => ask<Learning>("/learning", json("POST", what));
export const goOnLearning = (id: string) => ask<Learning>(`/learning/${id}/continue`, json("POST"));
export const removeLearning = (id: string) => ask<Learning[]>(`/learning/${id}`, { method: "DELETE" });
export const pictureUrl = (id: string, name: string) => `/api/learning/${id}/pictures/${name}`;
export const erase = (id: string, frame: number) =>
  ask<Project>(`/projects/${id}/masks/${frame}`, { method: "DELETE" });
export const frameUrl = (id: string, frame: number, width: number) =>
  `/api/projects/${id}/frames/${frame}.jpg?w=${width}`;

export async function mask(id: string, frame: number): Promise<{ mask: Mask; state: string }> {
  const answer = await fetch(`/api/projects/${id}/masks/${frame}`);
  if (!answer.ok) throw new Error(((await answer.json()) as { error: string }).error);
  return { mask: decode(await answer.arrayBuffer()), state: answer.headers.get("x-mask") ?? "empty" };
}

// A server that cannot be reached is asked again until it can: no stroke is lost to a restart.
export async function draw(id: string, frame: number, drawn: Mask, waiting: () => void): Promise<Project> {
  const body = encode(drawn);
  for (;;) {
    try {
      return await ask<Project>(`/projects/${id}/masks/${frame}`, { method: "PUT", body });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      waiting();
      await new Promise((later) => setTimeout(later, 1000));
    }
  }
}

export async function outline(id: string, frame: number, object: number, rough: Mask): Promise<Mask> {
  const answer = await fetch(`/api/projects/${id}/outline/${frame}?object=${object}`, {
    method: "POST",
    body: encode(rough),
  });
  if (!answer.ok) throw new Error(((await answer.json()) as { error: string }).error);
  return decode(await answer.arrayBuffer());
}

export async function upload(file: File, told: (share: number) => void): Promise<Project> {
  const key = `upload ${file.name} ${file.size} ${file.lastModified}`;
  type Room = { id: string; chunk_bytes: number; have: number[] };
  let room: Room | null = null;
  const before = localStorage.getItem(key);
  if (before) room = await ask<Room>(`/uploads/${before}`).catch(() => null);
  room ??= await ask<Room>("/uploads", json("POST", { name: file.name, bytes: file.size }));
  localStorage.setItem(key, room.id);
  const count = Math.ceil(file.size / room.chunk_bytes);
  const have = new Set(room.have);
  for (let number = 0; number < count; number += 1) {
    if (!have.has(number)) {
      const piece = file.slice(number * room.chunk_bytes, (number + 1) * room.chunk_bytes);
      await ask(`/uploads/${room.id}/chunks/${number}`, { method: "PUT", body: piece });
    }
    told((number + 1) / count);
  }
  const made = await ask<Project>(
    `/uploads/${room.id}/commit?name=${encodeURIComponent(file.name)}`,
    json("POST"),
  );
  localStorage.removeItem(key);
  return made;
}

export function listen(heard: (event: Event_) => void, line: (open: boolean) => void): EventSource {
  const source = new EventSource("/api/events");
  source.onopen = () => line(true);
  source.onerror = () => line(false);
  source.onmessage = (message) => heard(JSON.parse(message.data as string) as Event_);
  return source;
}
