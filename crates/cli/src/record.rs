//! What a migration was asked to do, kept beside its state so that `verify NAME` and `status` know
//! it, and how its last run ended. Written by the command, read by people too; holds no secret.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_engine::State;

use crate::arguments::{AddressingArgument, ConnectionArguments, MigrateArguments, ScopeArguments};
use crate::exit::CommandError;
use crate::seal::{FIELD, Seal, seal_of, sealed};

const CALL: &str = "call.json";
const RESULT: &str = "result.json";
/// Since version 2 a call carries a checksum.
const VERSION: u32 = 2;
const DAMAGED: &str = "its checksum does not hold";

/// The call that a migration was last started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    version: u32,
    source: Url,
    target: Url,
    include: Vec<String>,
    exclude: Vec<String>,
    map: Vec<String>,
    no_default_excludes: bool,
    no_default_exclude: Vec<String>,
    hadoop_conf: Option<PathBuf>,
    s3_addressing: Option<String>,
    source_profile: Option<String>,
    source_endpoint: Option<String>,
    source_region: Option<String>,
    target_profile: Option<String>,
    target_endpoint: Option<String>,
    target_region: Option<String>,
    metadata: MetadataLevel,
    directory_markers: DirectoryMarkers,
    /// With `--live`; not known of a call that an older version kept.
    #[serde(default)]
    live: Option<bool>,
    /// The options as they were given; none of a call that an older version kept.
    #[serde(default)]
    flags: Option<Vec<String>>,
}

/// A URL; local ones need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Url {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Call {
    /// What is kept of a call.
    pub fn new(source: &OsStr, target: &OsStr, arguments: &MigrateArguments) -> Self {
        let (scope, connection) = (&arguments.scope, arguments.connection.clone());
        Self {
            version: VERSION,
            source: Url::new(source),
            target: Url::new(target),
            include: scope.include.clone(),
            exclude: scope.exclude.clone(),
            map: scope.map.clone(),
            no_default_excludes: scope.no_default_excludes,
            no_default_exclude: scope.no_default_exclude.clone(),
            hadoop_conf: connection.hadoop_conf,
            s3_addressing: connection.s3_addressing.map(|style| style.name().to_owned()),
            source_profile: connection.source_profile,
            source_endpoint: connection.source_endpoint,
            source_region: connection.source_region,
            target_profile: connection.target_profile,
            target_endpoint: connection.target_endpoint,
            target_region: connection.target_region,
            metadata: arguments.write.metadata,
            directory_markers: arguments.write.directory_markers,
            live: Some(arguments.live),
            flags: Some(arguments.flags.clone()),
        }
    }

    /// False if it is known to have been without `--live`.
    pub fn may_be_live(&self) -> bool {
        self.live != Some(false)
    }

    /// The options that it was started with, but for those that say how one run is told or ends;
    /// `None` if they were not kept.
    pub fn flags(&self) -> Option<&[String]> {
        self.flags.as_deref()
    }

    /// How much metadata travels.
    pub fn metadata(&self) -> MetadataLevel {
        self.metadata
    }

    /// Which directories have a marker.
    pub fn directory_markers(&self) -> DirectoryMarkers {
        self.directory_markers
    }

    /// The source's URL.
    pub fn source(&self) -> OsString {
        self.source.text()
    }

    /// The target's URL.
    pub fn target(&self) -> OsString {
        self.target.text()
    }

    /// The scope that it was started with.
    pub fn scope(&self) -> ScopeArguments {
        ScopeArguments {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            map: self.map.clone(),
            no_default_excludes: self.no_default_excludes,
            no_default_exclude: self.no_default_exclude.clone(),
        }
    }

    /// How it reached both sides, as far as `given` does not say otherwise.
    pub fn connection(&self, given: &ConnectionArguments) -> ConnectionArguments {
        let pick = |given: &Option<String>, kept: &Option<String>| given.clone().or(kept.clone());
        let style = self.s3_addressing.as_deref().and_then(AddressingArgument::of_name);
        ConnectionArguments {
            hadoop_conf: given.hadoop_conf.clone().or(self.hadoop_conf.clone()),
            s3_addressing: given.s3_addressing.or(style),
            source_profile: pick(&given.source_profile, &self.source_profile),
            source_endpoint: pick(&given.source_endpoint, &self.source_endpoint),
            source_region: pick(&given.source_region, &self.source_region),
            target_profile: pick(&given.target_profile, &self.target_profile),
            target_endpoint: pick(&given.target_endpoint, &self.target_endpoint),
            target_region: pick(&given.target_region, &self.target_region),
        }
    }

    /// Writes it into the state folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), CommandError> {
        write(folder, CALL, &self.encode())
    }

    /// What stands in the state folder; `None` if nothing does.
    ///
    /// # Errors
    /// It cannot be read, is of a newer version, or was removed beside a state that stands.
    pub fn read(folder: &Path) -> Result<Option<Self>, CommandError> {
        let Some(text) = read(folder, CALL)? else {
            return if State::stands(folder) { Err(removed_call(folder)) } else { Ok(None) };
        };
        let told = |reason: String| {
            CommandError::local(
                format!("{} cannot be understood: {reason}", folder.join(CALL).display()),
                "use the version of Whimbrel that wrote it, or start the migration once more \
                 with its SOURCE and TARGET",
            )
        };
        Self::decode(&text).map(Some).map_err(told)
    }

    /// As it stands in the file.
    pub fn encode(&self) -> String {
        sealed(&serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// Reads what [`Call::encode`] wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(text: &[u8]) -> Result<Self, String> {
        let seal = seal_of(text);
        if seal == Seal::Broken {
            return Err(DAMAGED.to_owned());
        }
        let call: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match (call.version, seal) {
            (1, _) | (VERSION, Seal::Holds) => Ok(call),
            (VERSION, Seal::Broken | Seal::Missing) => Err(DAMAGED.to_owned()),
            (other, _) => Err(format!("it is of version {other}")),
        }
    }
}

fn removed_call(folder: &Path) -> CommandError {
    CommandError::local(
        format!("{} was removed: it says what was migrated", folder.join(CALL).display()),
        "restore it from a backup, or start the migration once more with its SOURCE, TARGET and \
         options: that writes it anew",
    )
}

impl Url {
    fn new(url: &OsStr) -> Self {
        let base64 = url.to_str().is_none().then(|| STANDARD.encode(url.as_bytes()));
        Self { url: url.to_string_lossy().into_owned(), base64 }
    }

    fn text(&self) -> OsString {
        let bytes = self.base64.as_ref().and_then(|text| STANDARD.decode(text).ok());
        bytes.map_or_else(|| self.url.clone().into(), OsString::from_vec)
    }
}

/// Refuses a folder in which a migration began and whose state is gone, since a new one would take
/// what that migration wrote for another's; and a state that is plainly none of this version's.
///
/// # Errors
/// The state is gone, or cannot be read. The folder is left as it is.
pub fn refuse_what_lost_its_state(folder: &Path) -> Result<(), CommandError> {
    // They are written once there is a state, and never without one.
    let begun = [CALL, RESULT].into_iter().any(|name| folder.join(name).exists());
    if State::stands(folder) {
        return Ok(State::look(folder)?);
    }
    if !begun {
        return Ok(());
    }
    let shown = folder.display();
    Err(CommandError::local(
        format!("a migration began in {shown}, and its state.db was removed or emptied"),
        "restore the folder from a backup; or move it away and start again with --adopt: what \
         stands unchanged on the target is not copied again",
    ))
}

/// Keeps how a run ended, for `status`.
///
/// # Errors
/// The folder cannot be written.
pub fn write_result(folder: &Path, fields: &Map<String, Value>) -> Result<(), CommandError> {
    write(folder, RESULT, &encode_result(fields))
}

/// Forgets how the last run ended: another begins.
///
/// # Errors
/// The folder cannot be written.
pub fn forget_result(folder: &Path) -> Result<(), CommandError> {
    match std::fs::remove_file(folder.join(RESULT)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CommandError::local(
            format!("{} cannot be removed: {error}", folder.join(RESULT).display()),
            "make the state folder writable for this user",
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How the last run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum LastResult {
    /// No run has ended yet.
    None,
    /// As it was told.
    Told(Map<String, Value>),
    /// Somebody else wrote there.
    Unreadable {
        /// Which file, and what to do, for people.
        message: String,
    },
}

/// How the last run ended.
///
/// # Errors
/// The folder cannot be read.
pub fn read_result(folder: &Path) -> Result<LastResult, CommandError> {
    let Some(text) = read(folder, RESULT)? else { return Ok(LastResult::None) };
    Ok(match decode_result(&text) {
        Ok(result) => LastResult::Told(result),
        Err(reason) => LastResult::Unreadable {
            message: format!(
                "how the last run ended is not known: {} cannot be understood ({reason}); the next \
                 run writes it anew, and nothing else depends on it",
                folder.join(RESULT).display()
            ),
        },
    })
}

/// How a run ended, as it stands in the file.
pub fn encode_result(fields: &Map<String, Value>) -> String {
    sealed(&Value::Object(fields.clone()).to_string())
}

/// Reads what [`encode_result`] wrote.
///
/// # Errors
/// What is wrong with it.
pub fn decode_result(text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if seal_of(text) != Seal::Holds {
        return Err(DAMAGED.to_owned());
    }
    fields.remove(FIELD);
    Ok(fields)
}

/// Through a second name, so that a crash leaves the old or the new text; durable at return.
///
/// # Errors
/// The folder cannot be written.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<(), CommandError> {
    let path = folder.join(name);
    let fresh = folder.join(format!("{name}.new"));
    let written = std::fs::File::create(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, &path))
        .and_then(|()| std::fs::File::open(folder)?.sync_all());
    written.map_err(|error| {
        CommandError::local(
            format!("{} cannot be written: {error}", path.display()),
            "make room on its disk, and make it writable for this user",
        )
    })
}

/// What stands in a file of the state folder; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, CommandError> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::local(
            format!("{} cannot be read: {error}", path.display()),
            "make the state folder readable for this user",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Cli, Command};

    fn call(source: &OsStr, flags: &[&str]) -> Call {
        let mut words: Vec<OsString> =
            ["whimbrel", "migrate"].into_iter().map(OsString::from).collect();
        words.push(source.to_owned());
        words.push("s3://b/p".into());
        words.extend(flags.iter().map(OsString::from));
        let parsed = <Cli as clap::Parser>::parse_from(words);
        let Command::Migrate(arguments) = parsed.command else { panic!("{parsed:?}") };
        Call::new(source, "s3://b/p".as_ref(), &arguments)
    }

    #[test]
    fn a_call_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Call::read(folder.path()).unwrap(), None);
        let source = OsStr::from_bytes(b"/a\xff");
        let flags = ["--target-endpoint", "http://h:1", "--exclude", "a/**", "--metadata", "none"];
        let call = call(source, &flags);
        call.write(folder.path()).unwrap();
        let read = Call::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, call);
        assert_eq!(
            (read.source().as_os_str(), &read.scope().exclude[..]),
            (source, &["a/**".to_owned()][..])
        );
        assert_eq!(read.metadata(), MetadataLevel::None);
        let merged = read.connection(&crate::request::tests::connection(&[]));
        assert_eq!(merged.target_endpoint.as_deref(), Some("http://h:1"));
    }

    #[test]
    fn a_newer_or_broken_call_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let call = call("/a".as_ref(), &[]);
        Call { version: VERSION + 1, ..call }.write(folder.path()).unwrap();
        assert!(Call::read(folder.path()).is_err());
        std::fs::write(folder.path().join(CALL), "{").unwrap();
        assert!(Call::read(folder.path()).is_err());
    }

    /// A turned bit in a URL had `verify NAME` compare something else, without a word.
    #[test]
    fn a_turned_bit_in_a_kept_call_is_found() {
        let call = call("/a".as_ref(), &["--exclude", "x"]);
        let text = call.encode();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Call::decode(&damaged);
            assert!(read.is_err() || read.as_ref() == Ok(&call), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn a_call_of_the_first_version_is_read() {
        let call = Call { version: 1, ..call("/a".as_ref(), &[]) };
        let text = serde_json::to_string_pretty(&call).unwrap();
        assert_eq!(Call::decode(text.as_bytes()), Ok(call.clone()));
        let text = serde_json::to_string_pretty(&Call { version: VERSION, ..call }).unwrap();
        assert!(Call::decode(text.as_bytes()).is_err(), "it lost its checksum");
    }

    /// A turned bit in a number had `status` tell another one.
    #[test]
    fn a_turned_bit_in_a_kept_result_is_found() {
        let fields: Map<String, Value> =
            [("outcome", "equal".into()), ("failures", 10.into()), ("lag_seconds", 0.1.into())]
                .map(|(name, value): (&str, Value)| (name.to_owned(), value))
                .into_iter()
                .collect();
        let text = encode_result(&fields);
        assert_eq!(decode_result(text.as_bytes()), Ok(fields.clone()));
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = decode_result(&damaged);
            assert!(read.is_err() || read.as_ref() == Ok(&fields), "bit {bit}: {read:?}");
        }
    }
}
