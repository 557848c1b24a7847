/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The readers that rows of kinds.c point to. */
#ifndef OBJECT_READERS_H
#define OBJECT_READERS_H

#include "object_priv.h"

#define READER(name) bool name(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);
READER(list_refs) /* containers.c */
READER(tuple_refs)
READER(dict_refs)
READER(set_refs)
READER(deque_refs)
READER(odict_refs)
READER(defaultdict_refs)
READER(lru_cache_refs)
READER(type_refs)       /* code.c */
READER(code_refs)
READER(frame_refs)
READER(generator_refs)
READER(cfunction_refs)
READER(module_refs)
READER(exception_refs)
READER(capsule_refs)
READER(datetime_refs)   /* datetime.c */
READER(time_refs)
#undef READER

#define SIZER(name) bool name(struct ph_objects *os, const struct ph_object *o, uint64_t *size);
SIZER(list_size)        /* sizes.c */
SIZER(dict_size)
SIZER(set_size)
SIZER(str_size)
SIZER(int_size)
SIZER(bytearray_size)
SIZER(type_size)
SIZER(code_size)
SIZER(frame_size)
SIZER(generator_size)
SIZER(deque_size)
SIZER(odict_size)
SIZER(array_size)
#undef SIZER

#endif
