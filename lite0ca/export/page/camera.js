// The live view: one look after another, about two a second; none while nobody sees the page.

import { Trouble } from "./trouble.js";

const MILLISECONDS = 500; // from the start of one look to the next
const WANTED = {
  audio: false,
  video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } },
};
const WORD = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
};

export class Camera {
  // `look` answers one frame; `ended` is called when the device takes the camera away.
  constructor(video, look, ended) {
    Object.assign(this, { video, look, ended });
    this.stream = null;
    document.addEventListener("visibilitychange", () => this.pause(document.hidden));
    addEventListener("pagehide", () => this.ended());
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) throw new Trouble("insecure");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(WANTED);
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      for (const track of stream?.getTracks() ?? []) track.stop();
      throw new Trouble(WORD[error.name] ?? "busy", error.message);
    }
    this.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.ended());
    this.pause(document.hidden);
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.video.srcObject = null;
  }

  // A track that is off gives black frames and costs no battery.
  pause(paused) {
    for (const track of this.stream?.getTracks() ?? []) track.enabled = !paused;
  }

  async run() {
    const { stream } = this;
    while (this.stream === stream) {
      const start = performance.now();
      if (!document.hidden && this.video.videoWidth) await this.look();
      await new Promise((done) => setTimeout(done, start + MILLISECONDS - performance.now()));
    }
  }
}
