/**
 * A call in React, with the package of the SDK. In an application: `npm install visavis-sdk-0.1.0.tgz react react-dom`, and
 * render `<Lesson server="https://calls.example/" room="lesson" name="Ada" />`.
 */
import { Call, RefusedError, type ChatLine, type Peer, type SessionState } from '@visavis/sdk';
import { useEffect, useReducer, useRef, useState, type FormEvent } from 'react';

interface LessonProps {
  server: string;
  room: string;
  name: string;
  token?: string;
}

export function Lesson({ server, room, name, token }: LessonProps) {
  const { call, state, refusal, lines } = useCall({ server, room, name, token });
  if (refusal) return <p role="alert">{refusal.code}: {refusal.message}</p>;
  if (!call) return <p role="status">…</p>;
  return (
    <main>
      <p role="status">{state}</p>
      <Picture stream={call.media.camera && new MediaStream([call.media.camera])} label={`${name} (you)`} muted />
      {call.peers.map((peer) => <PeerTile key={peer.id} call={call} peer={peer} />)}
      <button onClick={() => void call.media.setMicrophone(!call.media.microphoneOn)}>
        {call.media.microphoneOn ? 'Mute' : 'Unmute'}
      </button>
      <button onClick={() => call.leave()}>Leave</button>
      <Chat call={call} lines={lines} />
    </main>
  );
}

/** A call that lasts as long as the component, which is rendered again whenever the call has changed. */
function useCall({ server, room, name, token }: LessonProps) {
  const [call, setCall] = useState<Call | null>(null);
  const [state, setState] = useState<SessionState>('idle');
  const [refusal, setRefusal] = useState<RefusedError | null>(null);
  const [lines, setLines] = useState<ReadonlyMap<number, ChatLine>>(new Map());
  const [, changed] = useReducer((count: number) => count + 1, 0);

  useEffect(() => {
    const call = new Call({ base: server });
    for (const event of ['joined', 'updated', 'left', 'media', 'room', 'self'] as const) call.on(event, changed);
    call.on('state', setState);
    call.on('chat', (line) => setLines((known) => line.id === undefined ? known : new Map(known).set(line.id, line)));
    setCall(call);
    let gone = false;
    void (async () => {
      await call.media.open({ microphone: true, camera: true });
      if (gone) return call.media.close();
      try {
        await call.join({ room, name, ...(token ? { token } : {}) });
      } catch (error) {
        if (error instanceof RefusedError) setRefusal(error);
        else throw error;
      }
    })();
    return () => {
      gone = true;
      call.leave();
    };
  }, [server, room, name, token]);

  return { call, state, refusal, lines };
}

function PeerTile({ call, peer }: { call: Call; peer: Peer }) {
  const streams = call.streams(peer.id);
  return (
    <>
      <Picture stream={streams?.main ?? null} label={peer.name} />
      {streams?.screen && <Picture stream={streams.screen} label={`${peer.name}: screen`} />}
    </>
  );
}

function Picture({ stream, label, muted = false }: { stream: MediaStream | null; label: string; muted?: boolean }) {
  const video = useRef<HTMLVideoElement>(null);
  const tracks = stream?.getTracks().map(({ id }) => id).join(' ') ?? '';
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
    // A stream is the same as long as its tracks are.
  }, [tracks]);
  return (
    <figure>
      <video ref={video} autoPlay playsInline muted={muted} aria-label={label} />
      <figcaption>{label}</figcaption>
    </figure>
  );
}

function Chat({ call, lines }: { call: Call; lines: ReadonlyMap<number, ChatLine> }) {
  const [text, setText] = useState('');
  const send = (event: FormEvent) => {
    event.preventDefault();
    void call.chat(text);
    setText('');
  };
  return (
    <>
      <ul>
        {[...lines].map(([id, { from, text }]) => <li key={id}>{call.peer(from)?.name ?? 'somebody'}: {text}</li>)}
      </ul>
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
      </form>
    </>
  );
}
