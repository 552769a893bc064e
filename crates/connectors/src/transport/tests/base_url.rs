//! The check of base URLs: one spelling for what is accepted, a hint for what is not.

use crate::transport::{BaseUrl, BaseUrlError, check_base_url};

#[test]
fn accepted_urls_come_out_in_one_spelling() {
    for (text, expected) in [
        ("https://api.workos.com", "https://api.workos.com"),
        (" https://API.WorkOS.com/ ", "https://api.workos.com"),
        ("https://api.cloudflare.com:443/client/v4//", "https://api.cloudflare.com/client/v4"),
        ("HTTPS://host:8443", "https://host:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ] {
        assert_eq!(check_base_url(text).unwrap().to_string(), expected, "{text}");
    }
}

#[test]
fn refused_urls_say_why_and_what_to_do() {
    let plain = |host: &str| BaseUrlError::PlainHttp { host: host.to_owned() };
    for (text, expected) in [
        ("", BaseUrlError::NotUrl),
        ("api.workos.com", BaseUrlError::MissingScheme),
        ("localhost:8080", BaseUrlError::MissingScheme),
        ("ftp://api.workos.com", BaseUrlError::UnsupportedScheme),
        ("https://", BaseUrlError::NotUrl),
        ("https://a b", BaseUrlError::NotUrl),
        ("https://host:99999", BaseUrlError::BadPort),
        ("https://host:0", BaseUrlError::BadPort),
        ("https://user:hunter2@host", BaseUrlError::Userinfo),
        ("https://host/?limit=1", BaseUrlError::Query),
        ("https://host/#top", BaseUrlError::Query),
        ("http://api.workos.com", plain("api.workos.com")),
        ("http://127.0.0.1.example.com", plain("127.0.0.1.example.com")),
        ("http://10.0.0.1", plain("10.0.0.1")),
    ] {
        let error = check_base_url(text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.hint().is_empty());
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_path_is_joined_behind_the_prefix() {
    let base = check_base_url("https://api.cloudflare.com/client/v4/").unwrap();
    let url = base.join("/accounts/a?limit=10").unwrap();
    assert_eq!(url.to_string(), "https://api.cloudflare.com/client/v4/accounts/a?limit=10");
    let base = check_base_url("https://api.workos.com").unwrap();
    assert_eq!(base.join("/organizations").unwrap(), "https://api.workos.com/organizations");
    assert!(base.join("/a b").is_err());
}

#[test]
fn nowhere_is_no_text_and_leads_nowhere() {
    let nowhere = BaseUrl::nowhere();
    assert_eq!((nowhere.to_string().as_str(), nowhere.host()), ("", ""));
    assert!(nowhere.join("/").is_err());
}
