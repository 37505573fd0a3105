//! What a profile in the shared AWS files says about a client: region, endpoint, addressing.

use std::path::PathBuf;

use ini::{Ini, ParseOption};

use crate::endpoint::Addressing;
use crate::environment::Environment;
use crate::error::{Error, Result};

/// What was found; every field may be absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub addressing: Option<Addressing>,
    pub role: Option<Role>,
}

/// A role that the profile's owner takes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub arn: String,
    /// Who takes it on: another profile, by name.
    pub source_profile: Option<String>,
    /// Or `Environment`, `Ec2InstanceMetadata`, `EcsContainer`.
    pub credential_source: Option<String>,
    /// Or whoever this file's token identifies.
    pub token_file: Option<String>,
    pub session_name: Option<String>,
    pub external_id: Option<String>,
    pub duration_seconds: Option<u32>,
}

impl Profile {
    /// Reads the profile `name`. A profile that was named and is in neither file is an error;
    /// without a name it is `AWS_PROFILE` or `default`, and only `default` may be missing.
    pub async fn read(environment: &Environment, name: Option<&str>) -> Result<Self> {
        let named = name.or_else(|| environment.get("AWS_PROFILE"));
        let name = named.unwrap_or("default");
        let config = read(path_of(environment, "AWS_CONFIG_FILE", "config")).await?;
        let credentials_path = path_of(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let credentials = read(credentials_path).await?;
        let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let configured = config.section(Some(section.as_str()));
        let kept = credentials.section(Some(name));
        if named.is_some() && name != "default" && configured.is_none() && kept.is_none() {
            return Err(Error::Configuration {
                setting: format!("profile {name:?}"),
                reason: "it is in neither of the shared AWS files".to_owned(),
            });
        }
        let sections = [configured, kept];
        let get = |key: &str| {
            sections.iter().flatten().find_map(|section| section.get(key)).map(str::to_owned)
        };
        let service_endpoint = get("services").and_then(|services| {
            let section = config.section(Some(format!("services {services}").as_str()))?;
            section.get("s3.endpoint_url").map(str::to_owned)
        });
        Ok(Self {
            region: get("region"),
            endpoint: service_endpoint.or_else(|| get("endpoint_url")),
            addressing: match get("s3.addressing_style").as_deref() {
                Some("path") => Some(Addressing::Path),
                Some("virtual") => Some(Addressing::Virtual),
                Some(_) | None => None,
            },
            role: get("role_arn").map(|arn| Role {
                arn,
                source_profile: get("source_profile"),
                credential_source: get("credential_source"),
                token_file: get("web_identity_token_file"),
                session_name: get("role_session_name"),
                external_id: get("external_id"),
                duration_seconds: get("duration_seconds").and_then(|text| text.parse().ok()),
            }),
        })
    }
}

fn path_of(environment: &Environment, variable: &str, name: &str) -> Option<PathBuf> {
    let in_home = |rest: &str| environment.home.as_ref().map(|home| home.join(rest));
    match environment.get(variable) {
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => in_home(rest),
            None => Some(PathBuf::from(path)),
        },
        None => in_home(&format!(".aws/{name}")),
    }
}

/// A missing file is an empty one.
async fn read(path: Option<PathBuf>) -> Result<Ini> {
    let Some(path) = path else { return Ok(Ini::new()) };
    let Ok(text) = tokio::fs::read_to_string(&path).await else { return Ok(Ini::new()) };
    parsed(&text)
        .map_err(|reason| Error::Configuration { setting: path.display().to_string(), reason })
}

/// The sections of a file.
pub(crate) fn parsed(text: &str) -> std::result::Result<Ini, String> {
    let option = ParseOption { enabled_escape: false, ..ParseOption::default() };
    Ini::load_from_str_opt(&flattened(text), option).map_err(|error| error.to_string())
}

/// Nested settings (`s3 =` with indented lines below it) become `s3.name = value`.
fn flattened(text: &str) -> String {
    let mut flat = String::with_capacity(text.len());
    let mut parent = String::new();
    for line in text.lines() {
        let indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if indented && !parent.is_empty() {
            flat.push_str(&parent);
            flat.push('.');
            flat.push_str(line.trim());
        } else {
            let nested = line.split_once('=').filter(|(_, value)| value.trim().is_empty());
            parent = nested.map_or(String::new(), |(name, _)| name.trim().to_owned());
            flat.push_str(line.trim());
        }
        flat.push('\n');
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn profile(config: &str, name: Option<&str>) -> Result<Profile> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/config"), config).unwrap();
        let home = Some(folder.path().to_owned());
        Profile::read(&Environment { home, ..Environment::default() }, name).await
    }

    const CONFIG: &str = "[default]\nregion = eu-west-1\n\n[profile lab]\nregion=lab-1\n\
        endpoint_url = http://lab:9000\ns3 =\n    max_concurrent_requests = 20\n\
        \x20   addressing_style = virtual\n[profile served]\nendpoint_url = http://all\n\
        services = mine\n[services mine]\ns3 =\n  endpoint_url = http://only-s3\nsqs =\n  \
        endpoint_url = http://queue\n";

    #[tokio::test]
    async fn profiles_give_region_endpoint_and_addressing() {
        let default = profile(CONFIG, None).await.unwrap();
        assert_eq!(default.region.as_deref(), Some("eu-west-1"));
        assert_eq!(default.endpoint, None);
        let lab = profile(CONFIG, Some("lab")).await.unwrap();
        assert_eq!(lab.endpoint.as_deref(), Some("http://lab:9000"));
        assert_eq!(lab.addressing, Some(Addressing::Virtual));
        let served = profile(CONFIG, Some("served")).await.unwrap();
        assert_eq!(served.endpoint.as_deref(), Some("http://only-s3"));
    }

    #[tokio::test]
    async fn a_named_profile_must_exist() {
        let error = profile(CONFIG, Some("elsewhere")).await.unwrap_err();
        assert!(error.to_string().contains("elsewhere"), "{error}");
        assert_eq!(profile("", None).await.unwrap(), Profile::default());
    }
}
