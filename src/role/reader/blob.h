/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_BLOB_H
#define ROLE_READER_BLOB_H

#include "role/reader/reader.h"

/* The inner side of blob.c: what others need of it stands in reader.h. */

bool blob_is_upload(struct str id);
uint64_t blob_size_max(
	const struct reader *r); /* octets of an upload: the capability maxSizeUpload */

/* What stands behind /jmap/download/ACCOUNT/, decoded; blob_wish_free. */
struct blob_wish {
	struct buf id, name, type;
};
void blob_scan_path(struct str path, struct blob_wish *w);
void blob_wish_free(struct blob_wish *w);

/* The media type in lower case, with no parameter but a charset; what is none is application/octet-stream. */
void blob_add_type(struct buf *to, struct str type);
/* The value of Content-Disposition (RFC 6266), whatever the name holds. */
void blob_add_disposition(struct buf *to, struct str type, struct str name);

#endif
