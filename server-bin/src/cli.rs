//! The command line.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use http_api::Scope;
use signaling_core::RoomId;

use crate::config::{Config, ConfigError, Environment, Layers, Setting, Settings, Shape};
use crate::doctor::Look;
use crate::recordings::Finalize;
use crate::session_key::SessionKeyAsk;

/// What the operator asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Run the server: no subcommand.
    Run(Config),
    /// Print the merged settings.
    ShowConfig(Config),
    /// Make, list or revoke API keys.
    ApiKey(Config, KeyAsk, Init),
    /// Replace the session key, or retire the earlier ones.
    SessionKey(Config, SessionKeyAsk),
    /// Copy everything that a server keeps into a folder.
    Backup(Config, PathBuf),
    /// Fill the data folder from a backup.
    Restore(Config, PathBuf),
    /// Print a pair of TURN credentials, for this user if one is named.
    TurnCredentials(Config, Option<String>, Init),
    /// Remux or transcode finished recordings.
    Finalize(Config, Finalize),
    /// Ask the running server how it is, and whether it accepts new work.
    Health(Config, bool),
    /// Examine the machine and the network for a server with these settings.
    Doctor(Config, Look),
}

/// Whether a command may make the data folder.
pub(crate) type Init = bool;

/// What is to be done with API keys.
#[derive(Debug)]
pub(crate) enum KeyAsk {
    /// Make one, and print it.
    Create { scopes: Vec<Scope>, customer: Option<String>, note: Option<String> },
    /// Print what is known of all.
    List,
    /// Make one open nothing any more, by its id.
    Revoke(String),
}

/// Why the command line leads nowhere.
#[derive(Debug)]
pub(crate) enum UsageError {
    /// Help, the version, or a flag that does not exist: clap says it.
    Usage(clap::Error),
    Config(ConfigError),
}

/// Reads the command line, the environment, and the file that either of them names.
pub(crate) fn parse(arguments: Vec<OsString>, environment: &Environment) -> Result<Ask, UsageError> {
    let matches = command().try_get_matches_from(arguments).map_err(UsageError::Usage)?;
    let config = config(&matches, environment).map_err(UsageError::Config)?;
    Ok(match matches.subcommand() {
        Some(("config", _)) => Ask::ShowConfig(config),
        Some(("api-key", matches)) => Ask::ApiKey(config, key_ask(matches), matches.get_flag("init")),
        Some(("session-key", matches)) => Ask::SessionKey(
            config,
            match matches.subcommand_name() {
                Some("retire") => SessionKeyAsk::Retire,
                _ => SessionKeyAsk::Rotate,
            },
        ),
        Some(("backup", matches)) => Ask::Backup(config, folder_of(matches)),
        Some(("restore", matches)) => Ask::Restore(config, folder_of(matches)),
        Some(("turn-credentials", matches)) => {
            let user = matches.get_one::<String>("user").cloned();
            Ask::TurnCredentials(config, user, matches.get_flag("init"))
        }
        Some(("health", matches)) => Ask::Health(config, matches.get_flag("ready")),
        Some(("doctor", matches)) => {
            let via = matches.get_one::<String>("via").cloned();
            Ask::Doctor(config, Look { via, json: matches.get_flag("json") })
        }
        Some(("recordings", matches)) => match matches.subcommand() {
            Some((_, matches)) => {
                let composite = matches.get_flag("composite");
                let room = matches.get_one::<RoomId>("room").cloned();
                Ask::Finalize(config, Finalize { composite, room })
            }
            None => Ask::Run(config),
        },
        _ => Ask::Run(config),
    })
}

fn folder_of(matches: &ArgMatches) -> PathBuf {
    matches.get_one("folder").cloned().unwrap_or_default()
}

fn key_ask(matches: &ArgMatches) -> KeyAsk {
    match matches.subcommand() {
        Some(("create", matches)) => KeyAsk::Create {
            scopes: matches.get_many("scope").into_iter().flatten().copied().collect(),
            customer: matches.get_one("customer").cloned(),
            note: matches.get_one("note").cloned(),
        },
        Some(("revoke", matches)) => KeyAsk::Revoke(matches.get_one("id").cloned().unwrap_or_default()),
        _ => KeyAsk::List,
    }
}

fn init() -> Arg {
    Arg::new("init")
        .long("init")
        .action(ArgAction::SetTrue)
        .global(true)
        .help("Create the data folder and its contents if no server has run yet")
}

fn api_key() -> Command {
    let scope = |text: &str| {
        let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("expected one of: {}", Scope::ALL.map(Scope::as_str).join(", ")))
    };
    let create = Command::new("create")
        .about("Create a key and print it; it is not shown again. Works while the server runs")
        .arg(
            Arg::new("scope")
                .long("scope")
                .value_name("SCOPE")
                .required(true)
                .action(ArgAction::Append)
                .value_parser(scope)
                .help("What the key gives access to: meetings:read, meetings:write (which includes read), rooms, recordings, captions:write, admin. Repeatable"),
        )
        .arg(
            Arg::new("customer")
                .long("customer")
                .value_name("NAME")
                .help("Keys of the same customer share their meetings; without it, a key with meetings:write sees its own only"),
        )
        .arg(Arg::new("note").long("note").value_name("TEXT").help("Note on the key's purpose, shown by list"));
    Command::new("api-key")
        .about("API keys, with which other applications use /api/v1")
        .subcommand_required(true)
        .arg(init())
        .subcommand(create)
        .subcommand(Command::new("list").about("Print all keys with their scopes, without the secrets"))
        .subcommand(
            Command::new("revoke")
                .about("Revoke a key at once")
                .arg(Arg::new("id").required(true).help("The key's id, as shown by list")),
        )
}

fn session_key() -> Command {
    Command::new("session-key")
        .about("The key behind sessions, host links and tokens made by the server")
        .subcommand_required(true)
        .subcommand(
            Command::new("rotate")
                .about("Make a new key, used from the next start on; what the earlier ones sealed goes on to work"),
        )
        .subcommand(
            Command::new("retire")
                .about("Forget the earlier keys, from the next start on: sessions, host links and tokens made before the last rotation open nothing any more"),
        )
}

fn recordings() -> Command {
    Command::new("recordings")
        .about("Work with finished recordings")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("finalize")
                .about("Remux or transcode finished recordings with ffmpeg, while the server does not run")
                .arg(
                    Arg::new("composite")
                        .long("composite")
                        .action(ArgAction::SetTrue)
                        .help("Combine everybody in a room into one picture, with all audio"),
                )
                .arg(
                    Arg::new("room")
                        .long("room")
                        .value_name("ROOM")
                        .value_parser(|text: &str| RoomId::of(text))
                        .help("Only this room"),
                ),
        )
}

fn doctor() -> Command {
    Command::new("doctor")
        .about("Examine ports, addresses, certificate, clock, limits and the proxy in front, for a server with these settings, whether it runs or not; the exit code is 0 if nothing is wrong, 1 if something is")
        .arg(
            Arg::new("via")
                .long("via")
                .value_name("HOST:PORT")
                .help("STUN server outside, by which the public address and its NAT are found; one that supports RFC 5780 shows more"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object"))
}

/// The flag of a setting.
fn flag(setting: &Setting) -> Arg {
    let variables = std::iter::once(setting.variable()).chain(setting.alias.map(str::to_owned));
    let mut notes = vec![format!("environment: {}", variables.collect::<Vec<_>>().join(", "))];
    if !setting.default.is_empty() {
        notes.insert(0, format!("default: {}", setting.default));
    }
    let arg = Arg::new(setting.field)
        .long(setting.key())
        .value_name(setting.value_name)
        .help(format!("{} [{}]", setting.help.trim(), notes.join("; ")))
        // `-1` is an invalid number, not an unknown flag.
        .allow_negative_numbers(true)
        .global(true);
    match setting.shape {
        Shape::One => arg.action(ArgAction::Set).overrides_with(setting.field),
        Shape::Many => arg.action(ArgAction::Append),
        Shape::Switch => {
            let arg = arg.action(ArgAction::Set).num_args(0..=1).require_equals(true);
            arg.default_missing_value("true").overrides_with(setting.field)
        }
    }
}

fn folder() -> Arg {
    Arg::new("folder").required(true).value_name("FOLDER").value_parser(value_parser!(PathBuf))
}

fn command() -> Command {
    let settings = Settings::TABLE.iter().map(flag);
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("TOML file with settings; its keys are the flags below without the leading dashes [environment: VISAVIS_CONFIG]")
        .global(true);
    Command::new("visavis")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Self-hosted video calls: start it, open a page, send a link")
        .after_help("Flags override the environment, which overrides the file.")
        .arg(file)
        .args(settings)
        .subcommand(api_key())
        .subcommand(session_key())
        .subcommand(
            Command::new("backup")
                .about("Copy the data folder into a new folder: meetings, keys, secrets, settings of rooms, chat, and the index of recordings, without their media. Works while the server runs")
                .arg(folder()),
        )
        .subcommand(
            Command::new("restore")
                .about("Fill an empty data folder from a backup, while no server runs in it")
                .arg(folder()),
        )
        .subcommand(
            Command::new("turn-credentials")
                .about("Print a user name and password for the TURN server, valid for 12 hours, for use with tools")
                .arg(Arg::new("user").long("user").value_name("NAME").help("Name by which quotas are counted"))
                .arg(init()),
        )
        .subcommand(recordings())
        .subcommand(
            Command::new("health")
                .about("Ask the server that runs with these settings how it is; the exit code is 0 if it is well")
                .arg(
                    Arg::new("ready")
                        .long("ready")
                        .action(ArgAction::SetTrue)
                        .help("Whether it accepts new work (/readyz), not only whether it works (/livez)"),
                ),
        )
        .subcommand(doctor())
        .subcommand(Command::new("config").about("Print the merged settings, and where each comes from"))
}

fn config(matches: &ArgMatches, environment: &Environment) -> Result<Config, ConfigError> {
    let from_environment = || {
        let (_, value) =
            environment.iter().find(|(name, value)| name == "VISAVIS_CONFIG" && !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    let mut layers = Layers::defaults();
    if let Some(path) = matches.get_one::<PathBuf>("config").cloned().or_else(from_environment) {
        let text =
            fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        layers.file(&path, &text)?;
    }
    layers.environment(environment)?;
    layers.flags(|setting| matches.get_many::<String>(setting.field).map(|values| values.cloned().collect()));
    Config::new(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_hangs_together() {
        command().debug_assert();
    }

    #[test]
    fn a_flag_works_before_and_after_a_subcommand() {
        for line in [["visavis", "--drain-delay=3", "config"], ["visavis", "config", "--drain-delay=3"]] {
            let Ok(Ask::ShowConfig(config)) = parse(line.map(Into::into).to_vec(), &Vec::new()) else {
                panic!("{line:?} was not understood")
            };
            assert_eq!(config.settings.drain_delay.get(), 3);
        }
    }

    #[test]
    fn a_switch_needs_no_value() {
        let dev_mode = |line: &[&str]| match parse(line.iter().map(Into::into).collect(), &Vec::new()) {
            Ok(Ask::Run(config)) => config.settings.dev_mode,
            other => panic!("{other:?}"),
        };
        assert!(dev_mode(&["visavis", "--dev-mode"]));
        assert!(!dev_mode(&["visavis", "--dev-mode=false"]));
        assert!(!dev_mode(&["visavis"]));
    }
}
