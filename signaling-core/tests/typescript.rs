//! The SDK's message types match those of this crate.
//!
//! `UPDATE_TYPES=1 cargo test -p signaling-core --features typescript --test typescript` regenerates them.

use std::collections::BTreeMap;
use std::path::Path;

use signaling_core::message::{Cause, ClientMessage, Reply, ServerEvent, SignalBody};
use ts_rs::{Config, TS, TypeVisitor};

const HEADER: &str = "\
// The messages of the wire protocol, generated from the Rust types. Do not edit:
// `UPDATE_TYPES=1 cargo test -p signaling-core --features typescript --test typescript` writes this file.

/** Everything that the server sends. What carries no `id` is not replayed to a session that resumes. */
export type ServerMessage = (ServerEvent & { id: number }) | (Reply & { id?: undefined });
";

/// The declarations of types and of all types that they name, by name.
struct Declarations {
    config: Config,
    found: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        let name = T::ident(&self.config);
        // Only a derived type has a declaration.
        if T::output_path().is_none() || self.found.contains_key(&name) {
            return;
        }
        let docs = T::docs().unwrap_or_default();
        self.found.insert(name, format!("\n{docs}export {}\n", T::decl(&self.config)));
        T::visit_dependencies(self);
    }
}

#[test]
fn the_types_of_the_sdk_are_those_of_the_wire() {
    let config = Config::new().with_large_int("number");
    let mut declarations = Declarations { config, found: BTreeMap::new() };
    declarations.visit::<ClientMessage>();
    declarations.visit::<ServerEvent>();
    declarations.visit::<Reply>();
    declarations.visit::<SignalBody>();
    declarations.visit::<Cause>();
    let generated: String =
        std::iter::once(HEADER).chain(declarations.found.values().map(String::as_str)).collect();

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/sdk/transport/messages.d.ts");
    if std::env::var_os("UPDATE_TYPES").is_some() {
        std::fs::write(&file, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "web/sdk/transport/messages.d.ts is not what the types of the wire give; its first line says how to write it anew"
    );
}
