// In each page from its beginning: `unanswered`, the messages to a kernel that have no answer yet (the form of Jupyter's
// websockets, v1: https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html), `asked`, how many of all
// were cells, and `answered`, which waits until none is open in four pictures one after the other: ipywidgets sends a slider's
// last place when it has the answer to the place before, and what came is by then drawn, measured and laid out.
globalThis.unanswered = new Set();
globalThis.asked = 0;

globalThis.answered = async (instead = () => false, limit = 300000) => {
  const start = performance.now();
  for (let still = 0; still < 4 && !instead(); still = unanswered.size ? 0 : still + 1) {
    if (performance.now() - start > limit) throw new Error(`the kernel has not answered ${unanswered.size} messages`);
    await new Promise((done) => requestAnimationFrame(done));
  }
};

{
  const part = (data, at) => {
    const head = new DataView(data), place = (one) => Number(head.getBigUint64(8 * (one + 1), true));
    return new TextDecoder().decode(new Uint8Array(data, place(at), place(at + 1) - place(at)));
  };
  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (!(data instanceof ArrayBuffer) || JSON.parse(part(data, 1)).msg_type !== "status") return;
        if (JSON.parse(part(data, 4)).execution_state === "idle") unanswered.delete(JSON.parse(part(data, 2)).msg_id);
      });
    }
    send(data) {
      if (data instanceof ArrayBuffer && part(data, 0) === "shell") {
        const { msg_id, msg_type } = JSON.parse(part(data, 1));
        unanswered.add(msg_id);
        if (msg_type === "execute_request") asked += 1;
      }
      super.send(data);
    }
  };
}
