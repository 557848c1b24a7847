/* SPDX-License-Identifier: GPL-2.0-or-later */
/* datetime and time: naive ones are shorter than their type says, without the slot of
 * tzinfo. Facts: Include/datetime.h, Modules/_datetimemodule.c (new_datetime_ex2). */
#include "readers.h"

static bool tzinfo_ref(struct ph_objects *os, const struct ph_object *o, enum ph_field has_tzinfo,
		       enum ph_field tzinfo, struct ph_refs *out)
{
	if (!has(os, has_tzinfo) || !has(os, tzinfo)) {
		unknown_refs(os, o, out);
		return true; /* they visit nothing */
	}
	uint64_t ref = o_u8(os, o, has_tzinfo) ? o_u64(os, o, tzinfo) & PH_REF_ADDR : 0;
	ref_add(out, ref ? ref | PH_REF_OWNED : 0, ATTR("tzinfo"));
	return true;
}

bool datetime_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	return tzinfo_ref(os, o, PH_F_DateTime_hastzinfo, PH_F_DateTime_tzinfo, out);
}

bool time_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	return tzinfo_ref(os, o, PH_F_Time_hastzinfo, PH_F_Time_tzinfo, out);
}
