//! Speaks Hadoop: the client side of HDFS that a migration needs.
