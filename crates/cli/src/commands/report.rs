//! `whimbrel report check DIR`.

use serde_json::json;
use whimbrel_report::{PublicKey, check};

use crate::arguments::ReportCheckArguments;
use crate::exit::{self, CommandError, Condition};
use crate::output::{self, printable};

/// Tells whether a report is as it was signed.
///
/// # Errors
/// No such folder or key, or a file of it cannot be read.
pub fn run(arguments: &ReportCheckArguments, json: bool) -> Result<u8, CommandError> {
    let given = match &arguments.key {
        Some(file) => Some(PublicKey::read(file).map_err(|error| {
            CommandError::usage(error.to_string(), "name the file of the signer's public key")
        })?),
        None => None,
    };
    let checked = check(&arguments.folder, given.as_ref())?;
    let intact = checked.findings.is_empty() && checked.signed_by.is_some();
    let condition = (!intact).then_some(Condition::Incomplete);
    let code = exit::code(&condition.into_iter().collect());
    for found in &checked.findings {
        if json {
            let (path, message) = (&found.file, &found.message);
            let fields = json!({ "path": path, "kind": "altered", "message": message });
            output::json_line("problem", &fields);
        } else {
            output::standard_output(&printable(&format!("{} {}", found.file, found.message)));
        }
    }
    if json {
        let fields = json!({
            "outcome": if intact { "intact" } else { "altered" },
            "altered": checked.findings.len(),
            "signed_by": checked.signed_by,
            "key_given": given.is_some(),
            "exit_code": code,
        });
        output::json_line("result", &fields);
        return Ok(code);
    }
    output::standard_output(match (intact, &given) {
        (true, Some(_)) => "Intact: as it was signed with the given key.",
        (true, None) => {
            "Intact, if the key beside it is the signer's: compare its SHA-256, or give --key."
        }
        (false, _) => "Altered.",
    });
    if let Some(fingerprint) = &checked.signed_by {
        output::standard_output(&format!("  {:<22}{fingerprint}", "SHA-256 of the key"));
    }
    Ok(code)
}
