//! `whimbrel doctor SOURCE TARGET`.

use crate::arguments::DoctorArguments;
use crate::exit::CommandError;

pub async fn run(_arguments: DoctorArguments, _json: bool) -> Result<u8, CommandError> {
    Ok(0)
}
