//! WebSocket, server-sent events and plain HTTP in front of signaling-core.
