use super::*;

fn merged(
    toml: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &[&str])],
) -> Result<Config, ConfigError> {
    let mut layers = Layers::defaults();
    layers.file("visavis.toml".as_ref(), toml)?;
    layers.environment(&environment.iter().map(|(name, value)| (name.into(), value.into())).collect())?;
    layers.flags(|setting| {
        let (_, values) = flags.iter().find(|(field, _)| *field == setting.field)?;
        Some(values.iter().map(|&value| value.to_owned()).collect())
    });
    Config::new(layers)
}

fn error(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &[&str])]) -> String {
    merged(toml, environment, flags).unwrap_err().to_string()
}

#[test]
fn flags_count_more_than_the_environment_and_that_more_than_the_file() {
    let file = "listen = '127.0.0.1:1'";
    let listen = |environment: &[(&str, &str)], flags: &[(&str, &[&str])]| {
        merged(file, environment, flags).unwrap().settings.listen.to_string()
    };
    assert_eq!(merged("", &[], &[]).unwrap().settings.listen.to_string(), "[::]:8080");
    assert_eq!(listen(&[], &[]), "127.0.0.1:1");
    assert_eq!(listen(&[("HTTP_PORT", "2")], &[]), "127.0.0.1:2");
    assert_eq!(listen(&[("HTTP_PORT", "2"), ("VISAVIS_LISTEN", ":3")], &[]), "[::]:3");
    assert_eq!(listen(&[("VISAVIS_LISTEN", ":3")], &[("listen", &["localhost:4"])]), "localhost:4");
    assert_eq!(listen(&[("VISAVIS_LISTEN", ""), ("HTTP_PORT", " ")], &[]), "127.0.0.1:1");
}

#[test]
fn unknown_names_are_errors_and_near_ones_are_named() {
    assert_eq!(error("listne = 'a'", &[], &[]), "unknown key `listne` in visavis.toml; did you mean listen?");
    assert_eq!(error("[server]\nport = 1", &[], &[]), "unknown key `server` in visavis.toml");
    let told = error("", &[("VISAVIS_LOG_LEVLE", "debug")], &[]);
    assert_eq!(told, "unknown environment variable VISAVIS_LOG_LEVLE; did you mean VISAVIS_LOG_LEVEL?");
}

#[test]
fn what_kubernetes_sets_for_a_service_of_this_name_is_not_ours() {
    let environment = [
        ("VISAVIS_SERVICE_HOST", "10.0.0.1"),
        ("VISAVIS_PORT", "tcp://10.0.0.1:8080"),
        ("VISAVIS_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    merged("", &environment, &[]).unwrap();
}

#[test]
fn lists_replace_those_of_lower_layers() {
    let file = "trusted-proxy = ['10.0.0.0/8', '192.168.0.0/16']";
    let proxies = |environment: &[(&str, &str)], flags: &[(&str, &[&str])]| {
        merged(file, environment, flags).unwrap().settings.trusted_proxy.len()
    };
    assert_eq!(proxies(&[], &[]), 2);
    assert_eq!(proxies(&[("VISAVIS_TRUSTED_PROXY", "10.0.0.0/8 ::1/128  127.0.0.1/32")], &[]), 3);
    assert_eq!(proxies(&[], &[("trusted_proxy", &["127.0.0.1/32"])]), 1);
    let transports = |file| merged(file, &[], &[]).unwrap().settings.transports;
    assert_eq!(transports("transports = ['sse', 'socketio']"), transports("transports = 'sse,socketio'"));
}

#[test]
fn ice_servers_are_read_from_words_and_tables() {
    let file = r#"ice-server = ["stun:a.example", { url = "turns:b.example:443?transport=tcp", username = "u,v", credential = 7 }]"#;
    let servers = merged(file, &[], &[]).unwrap().settings.ice_server;
    assert_eq!(servers[0], IceServer { url: "stun:a.example".to_owned(), login: None });
    assert_eq!(servers[1].login.as_ref().unwrap().username, "u,v");
    let flag = ("ice_server", &["turn:[2001:db8::1]:3478,user,pass,word"][..]);
    let servers = merged("", &[], &[flag]).unwrap().settings.ice_server;
    assert_eq!(servers[0].login.as_ref().unwrap().credential, "pass,word");
}

#[test]
fn broken_ice_servers_are_refused_without_showing_what_may_be_secret() {
    for bad in [
        "http://a",
        "turn:a",
        "turn:a,u",
        "turn:a,,p",
        "stun:a,u,p",
        "stun:",
        "stun:a?transport=tcp",
        "turn:u@a,u,hush",
        "stun://a",
    ] {
        let told = error("", &[], &[("ice_server", &[bad])]);
        assert!(told.starts_with("ice-server cannot be what was given (flag --ice-server)"), "{bad}: {told}");
        assert!(!told.contains("hush"), "{told}");
    }
    assert!(error("ice-server = [{ url = 'stun:a', pass = 'x' }]", &[], &[]).contains("unknown key `pass`"));
}

#[test]
fn origins_are_kept_as_browsers_write_them() {
    let origin = |text: &str| text.parse::<web_origin::WebOrigin>().map(|origin| origin.to_string());
    assert_eq!(origin("HTTPS://Calls.Example:443/").unwrap(), "https://calls.example");
    assert_eq!(origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
    for bad in [
        "calls.example",
        "*",
        "https://*",
        "ftp://a",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a:",
        "https://a#b",
        "null",
    ] {
        assert!(origin(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_public_url_may_have_a_path() {
    let read =
        |text: &str| text.parse::<PublicUrl>().map(|url: PublicUrl| (url.to_string(), url.path().to_owned()));
    let found = |url: &str, path: &str| Ok((url.to_owned(), path.to_owned()));
    assert_eq!(read("https://Example.org/Visavis/"), found("https://example.org/Visavis", "/Visavis"));
    assert_eq!(read("http://localhost:8080/a/b-1"), found("http://localhost:8080/a/b-1", "/a/b-1"));
    assert_eq!(read("https://calls.example:443/"), found("https://calls.example", ""));
    for bad in [
        "https://a/b?c",
        "https://a/b#c",
        "https://a//b",
        "https://a/../b",
        "https://a/%20",
        "ftp://a/b",
        "/b",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn apps_and_extensions_may_be_allowed_and_pages_without_an_origin() {
    let read = |text: &str| text.parse::<AllowedOrigin>().map(|origin: AllowedOrigin| origin.to_string());
    for (text, origin) in [
        ("capacitor://localhost", "capacitor://localhost"),
        ("Chrome-Extension://abcdefghijklmnop/", "chrome-extension://abcdefghijklmnop"),
        ("https://www.example:443", "https://www.example"),
        ("null", "null"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(origin));
    }
    for bad in [
        "",
        "*",
        "Null",
        "capacitor:",
        "capacitor://",
        "1a://b",
        "capacitor://a/b",
        "https://a/b",
        "file:///",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn letters_need_an_address_for_their_links() {
    let smtp = "smtp = 'smtps://mail.example'\nmail-from = 'calls@example.org'\n";
    assert!(error(smtp, &[], &[]).contains("--smtp needs --public-url"));
    assert!(merged(&format!("{smtp}public-url = 'https://calls.example'"), &[], &[]).is_ok());
}

#[test]
fn a_public_url_has_a_port_and_perhaps_a_name() {
    let read = |url: &str| {
        let url: PublicUrl = url.parse().unwrap();
        (url.port(), url.name().map(str::to_owned))
    };
    assert_eq!(read("https://calls.example"), (443, Some("calls.example".to_owned())));
    assert_eq!(read("https://calls.example:8443/v/"), (8443, Some("calls.example".to_owned())));
    for (url, port) in
        [("http://calls.example", 80), ("https://[2001:db8::1]", 443), ("https://[2001:db8::1]:444", 444)]
    {
        assert_eq!(read(url), (port, None), "{url}");
    }
    assert_eq!(read("https://192.0.2.1:8443"), (8443, None));
}

#[test]
fn a_directory_needs_an_address_and_a_name() {
    let acme = "tls = 'acme'\nacme-email = 'admin@example.org'\n";
    assert!(merged(&format!("{acme}public-url = 'https://calls.example:8443'"), &[], &[]).is_ok());
    assert!(error("tls = 'acme'\npublic-url = 'https://calls.example'", &[], &[]).contains("--acme-email"));
    for url in [
        "",
        "public-url = 'http://calls.example'",
        "public-url = 'https://192.0.2.1'",
        "public-url = 'https://[2001:db8::1]'",
    ] {
        assert!(error(&format!("{acme}{url}"), &[], &[]).contains("needs --public-url"), "{url}");
    }
    assert!(error("acme-email = 'admin@example.org'", &[], &[]).contains("need --tls acme"));
    assert!(error("acme-http-listen = '[::]:80'", &[], &[]).contains("need --tls acme"));
}

#[test]
fn one_port_has_no_second_one_and_relays_without_ports() {
    let one = |more: &str| merged(&format!("one-port = true\nlisten = '[::]:443'\n{more}"), &[], &[]);
    let settings = one("").unwrap().settings;
    assert_eq!((settings.media_port, settings.turn_listen.to_string()), (443, "[::]:443".to_owned()));
    assert_eq!(settings.turn_relay, RelayKind::Inside);
    assert_eq!(one("turn-relay = 'ports'").unwrap().settings.turn_relay, RelayKind::Ports);
    assert!(one("media-port = 443\nturn-listen = '[::]:443'").is_ok(), "the same port");
    let told = |more: &str| one(more).unwrap_err().to_string();
    assert!(told("media-port = 8080").contains("leave --media-port out"));
    assert!(told("turn-listen = '[::]:3478'").contains("leave --turn-listen out"));
    assert!(told("turn-discovery = '192.0.2.1,192.0.2.2'").contains("has one"));
    assert!(told("turn-tcp-relays = true").contains("needs --turn-relay ports"));
    assert!(one("turn-relay = 'ports'\nturn-tcp-relays = true").is_ok());
    let inside = merged("turn-relay = 'inside'", &[], &[]).unwrap().settings;
    assert_eq!((inside.media_port, inside.turn_listen.port()), (8080, 3478), "it stands alone, too");
}

#[test]
fn bad_values_are_told_with_where_they_came_from() {
    let told = error("", &[("VISAVIS_LISTEN", "8080")], &[]);
    assert!(
        told.starts_with(r#"listen cannot be "8080" (environment VISAVIS_LISTEN): expected HOST:PORT"#),
        "{told}"
    );
    assert!(error("tls = 'none'", &[], &[]).contains("expected one of: auto, off, files, acme"));
    assert!(error("transports = ''", &[], &[]).contains("expected one of: websocket, sse, socketio"));
    assert!(error("transports = ['sse', 'pigeon']", &[], &[]).contains("expected one of: websocket"));
    for (setting, most) in [
        ("workers", 256),
        ("recording-keep-days", 36_500),
        ("recording-keep-gib", 1_048_576),
        ("connections-per-address", 1_000_000),
        ("new-connections-per-second", 1_000_000),
        ("drain-delay", 86_400),
        ("drain-timeout", 86_400),
        ("media-port", 65_535),
    ] {
        for good in [0, most] {
            merged(&format!("{setting} = {good}"), &[], &[]).unwrap();
        }
        for bad in ["-1".to_owned(), "1.5".to_owned(), (most + 1).to_string(), "4294967296".to_owned()] {
            let told = error(&format!("{setting} = '{bad}'"), &[], &[]);
            assert!(told.contains(&format!("number from 0 to {most}")), "{told}");
        }
    }
    assert!(error("", &[("HTTP_PORT", "http")], &[]).contains("HTTP_PORT cannot be http"));
    assert!(error("log-level = 'verbose'", &[], &[]).contains("expected first one of: off, error"));
    for bad in ["[::]", "::1:80", "a b:1", "http://a:80", "a:65536"] {
        assert!(error("", &[], &[("listen", &[bad])]).starts_with("listen cannot be"), "{bad}");
    }
}

#[test]
fn a_plain_address_is_a_network_of_its_own() {
    for field in ["turn-allow-peer", "trusted-proxy"] {
        let read = |text: &str| {
            let config = merged(&format!("{field} = '{text}'"), &[], &[])?;
            let Settings { turn_allow_peer, trusted_proxy, .. } = config.settings;
            Ok::<_, ConfigError>([turn_allow_peer, trusted_proxy].concat()[0].to_string())
        };
        assert_eq!(read("127.0.0.1").unwrap(), "127.0.0.1/32");
        assert_eq!(read("2001:db8::1").unwrap(), "2001:db8::1/128");
        assert_eq!(read("::ffff:10.0.0.1").unwrap(), "10.0.0.1/32");
        assert_eq!(read("10.0.0.0/8").unwrap(), "10.0.0.0/8");
        for bad in ["10.0.0.0/33", "10.0.0", "host", "10.0.0.1-10.0.0.9"] {
            assert!(read(bad).unwrap_err().to_string().contains("expected a network"), "{bad}");
        }
    }
}

#[test]
fn secrets_that_are_none_are_refused() {
    for field in ["turn_secret", "smtp", "database_url"] {
        assert!(error("", &[], &[(field, &[""])]).contains("expected a secret, not nothing"), "{field}");
    }
    assert!(error("turn-secret = ''", &[], &[]).contains("expected a secret, not nothing"));
    for bad in ["a", "fifteen letters"] {
        assert!(error("", &[], &[("turn_secret", &[bad])]).contains("16 bytes"), "{bad}");
    }
    for bad in ["/run/secrets/turn-that-is-not-there", "turn.key"] {
        assert!(error("", &[], &[("turn_secret", &[bad])]).contains("no such file"), "{bad}");
    }
    merged("", &[("VISAVIS_TURN_SECRET", "")], &[("turn_secret", &["0123456789abcdef"])]).unwrap();
    assert!(error("auth-key = 'public.pem'", &[], &[]).contains("no such file"));
    assert!(error("auth-key = 'short'", &[], &[]).contains("32 bytes"));
}

#[test]
fn a_value_is_read_from_the_file_that_a_variable_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("secret"), "0123456789abcdef\n").unwrap();
    std::fs::write(path("words"), "stun:a.example\nstun:b.example\n").unwrap();
    let config = merged(
        "",
        &[("VISAVIS_TURN_SECRET_FILE", &path("secret")), ("VISAVIS_ICE_SERVER_FILE", &path("words"))],
        &[],
    );
    let settings = config.unwrap().settings;
    assert_eq!(settings.turn_secret.unwrap().0.0, "0123456789abcdef");
    assert_eq!(settings.ice_server.len(), 2);

    let missing = error("", &[("VISAVIS_SMTP_FILE", &path("missing"))], &[]);
    assert!(missing.contains("cannot read the file") && missing.contains("missing"), "{missing}");
    let both = [("VISAVIS_SMTP", "smtp://a.example"), ("VISAVIS_SMTP_FILE", &path("secret"))];
    assert!(error("", &both, &[]).contains("VISAVIS_SMTP and VISAVIS_SMTP_FILE are both set"));
    assert!(error("", &[("VISAVIS_SNTP_FILE", "x")], &[]).contains("unknown environment variable"));
}

#[test]
fn systemd_credentials_stand_between_the_file_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("turn-secret"), "of the credential\n").unwrap();
    std::fs::write(folder.path().join("of-another-program"), "x").unwrap();
    let directory = ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap());
    let secret = |environment: &[(&str, &str)]| {
        let file = "turn-secret = 'of the settings file'";
        merged(file, environment, &[]).unwrap().settings.turn_secret.unwrap().0.0
    };
    assert_eq!(secret(&[]), "of the settings file");
    assert_eq!(secret(&[directory]), "of the credential");
    assert_eq!(secret(&[directory, ("VISAVIS_TURN_SECRET", "of the environment")]), "of the environment");
}

#[test]
fn a_sender_without_a_mail_server_is_told() {
    assert!(error("mail-from = 'calls@example.org'", &[], &[]).contains("--mail-from needs --smtp"));
}

#[test]
fn certificate_files_mean_tls_from_files() {
    let both = "tls-cert = 'a'\ntls-key = 'b'\n";
    assert_eq!(merged(both, &[], &[]).unwrap().settings.tls, TlsMode::Files);
    assert!(error(&format!("{both}tls = 'off'"), &[], &[]).contains("need --tls files"));
    assert!(error("tls-cert = 'a'", &[], &[]).contains("needs --tls-cert and --tls-key"));
    assert!(error("tls = 'files'", &[], &[]).contains("needs --tls-cert and --tls-key"));
    assert!(error("tls = 'off'\nredirect-to-https = true", &[], &[]).contains("needs TLS"));
}

#[test]
fn dev_mode_is_known_by_its_short_name() {
    let config = merged("", &[("DEV_MODE", "1")], &[]).unwrap();
    assert_eq!(config.settings.log_level.to_string(), "debug");
    let config = merged("log-level = 'warn'", &[("DEV_MODE", "true")], &[]).unwrap();
    assert_eq!(config.settings.log_level.to_string(), "warn");
}

#[test]
fn what_is_shown_can_be_read_again_and_hides_credentials() {
    let config = merged(
        "frame-ancestors = ['self', 'https://a.example']",
        &[("APP_VERSION", "7.1")],
        &[("ice_server", &["turn:a,user,hush", "stun:b"])],
    );
    let config = config.unwrap();
    let shown = config.to_toml();
    assert!(!shown.contains("hush"), "{shown}");
    let line = |key: &str| {
        shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {shown}"))
    };
    assert!(line("listen = \"[::]:8080\"").ends_with("  # default"));
    assert!(line("app-version = \"7.1\"").ends_with("  # environment APP_VERSION"));
    assert!(line("frame-ancestors = ").ends_with("  # file visavis.toml"));
    assert!(
        line("ice-server = ").contains("(hidden)")
            && line("ice-server = ").ends_with("  # flag --ice-server")
    );
    assert!(line("# public-url = URL").ends_with("  # default"));

    let again = merged(&shown, &[], &[]).unwrap();
    assert_eq!(again.settings.frame_ancestors, config.settings.frame_ancestors);
    assert_eq!(again.settings.listen, config.settings.listen);
}

#[test]
fn no_two_settings_share_a_name() {
    let mut names: Vec<String> = Settings::TABLE.iter().map(Setting::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Settings::TABLE.len());
}
