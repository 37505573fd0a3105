//! Proxies and private certificate authorities.
