//! What keeps a tree from being changed: safe mode, and modes. Both write to the cluster.

use crate::client::{Client, checked};
use crate::error::Error;
use crate::proto::namenode as proto;
use crate::proto::namenode::safe_mode;
use crate::rpc::namenodes::Answer;

impl Client {
    /// Whether the active NameNode is in safe mode, for whatever reason.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn is_in_safe_mode(&self) -> Result<bool, Error> {
        self.ask_safe_mode(safe_mode::GET).await
    }

    /// Has the active NameNode enter safe mode, in which it takes no changes, or leave it. A
    /// fail-over ends it: the other NameNode is asked for nothing.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] for others than superusers.
    pub async fn set_safe_mode(&self, enter: bool) -> Result<(), Error> {
        let action = if enter { safe_mode::ENTER } else { safe_mode::LEAVE };
        self.ask_safe_mode(action).await.map(drop)
    }

    async fn ask_safe_mode(&self, action: i32) -> Result<bool, Error> {
        // Checked: a standby refuses, and the active one is asked.
        let request = proto::SafeModeRequest { action, checked: Some(true) };
        let answer: Answer<proto::BoolResponse> = self.call("setSafeMode", &request).await?;
        Ok(answer.value.result)
    }

    /// Sets the mode of a path: the twelve low bits.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] for others than the owner and superusers;
    /// [`Error::NotFound`]; [`Error::Busy`] in safe mode.
    pub async fn set_permission(&self, path: &[u8], mode: u16) -> Result<(), Error> {
        let request = proto::SetPermissionRequest {
            path: checked(path)?,
            permission: proto::Permission { mode: u32::from(mode) },
        };
        let _: Answer<proto::EmptyRequest> = self.call("setPermission", &request).await?;
        Ok(())
    }
}
