/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a reference is written: as Python does where it can, in angle brackets where not. */
#include <ctype.h>
#include <stdio.h>
#include "paths_priv.h"

#define FOLDED "\u2026"

static bool is_identifier(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (!(isalpha(c) || c == '_' || c >= 0x80 || (i && isdigit(c))))
			return false;
	}
	return n != 0;
}

/* A key as people see it in quotes, without them. */
static bool is_string(const char *key, const char **ret, size_t *ret_n)
{
	size_t n = strlen(key);
	if (n < 2 || key[0] != '\'' || key[n - 1] != '\'')
		return false;
	*ret = key + 1;
	*ret_n = n - 2;
	return true;
}

#define PUT(field, ...) snprintf(ret->field, sizeof ret->field, __VA_ARGS__)

static void value_text(const struct ph_label *l, bool in_namespace, struct ph_path_step *ret)
{
	const char *name;
	size_t n;
	bool string = is_string(l->name, &name, &n);
	if (in_namespace && string) {
		bool attribute = is_identifier(name, n);
		PUT(via, attribute ? ".%.*s" : ".__dict__['%.*s']", (int)n, name);
		PUT(folded, "%s", ret->via);
		return;
	}
	/* a namespace may have other keys than names: no items of what it belongs to */
	const char *dict = in_namespace ? ".__dict__" : "";
	PUT(via, "%s[%s]", dict, l->name[0] ? l->name : FOLDED);
	if (l->is_name)
		PUT(folded, "%s", ret->via);
	else
		PUT(folded, "%s%s", dict, PH_FOLDED_PLACE);
	if (l->name[0] && !l->is_name && !l->is_hash)
		PUT(hidden, "%s", l->name);
}

void ph_via_text(const struct ph_label *l, bool in_namespace, struct ph_path_step *ret)
{
	ret->hidden[0] = ret->folded[0] = '\0';
	ret->key = l->key;
	switch (l->kind) {
	case PH_LABEL_ATTR:
		PUT(via, l->name[0] == '<' ? "%s" : ".%s", l->name);
		break;
	case PH_LABEL_DICT:
		PUT(via, ".__dict__");
		break;
	case PH_LABEL_INDEX:
		PUT(via, "[%lld]", (long long)l->index);
		PUT(folded, PH_FOLDED_PLACE);
		break;
	case PH_LABEL_VALUE:
		value_text(l, in_namespace, ret);
		break;
	case PH_LABEL_KEY:
		PUT(via, l->name[0] ? "<key %s>" : "<key>", l->name);
		PUT(folded, "<key>");
		if (l->name[0] && !l->is_name && !l->is_hash && !in_namespace)
			PUT(hidden, "%s", l->name);
		break;
	case PH_LABEL_ELEMENT:
		PUT(via, "<element>");
		break;
	case PH_LABEL_LOCAL:
		PUT(via, "local %s in %s", l->name, l->of);
		break;
	case PH_LABEL_STACK:
		PUT(via, "stack in %s", l->of);
		break;
	case PH_LABEL_CELL:
		PUT(via, "cell %s of %s", l->name, l->of);
		break;
	case PH_LABEL_TYPE:
		PUT(via, ".__class__");
		break;
	case PH_LABEL_WORD:
		PUT(via, "<word %lld>", (long long)l->index);
		PUT(folded, "<word>");
		break;
	case PH_LABEL_REFERENT:
		PUT(via, "<referent %lld>", (long long)l->index);
		PUT(folded, "<referent>");
		break;
	case PH_LABEL_CACHE:
		PUT(via, "<cached %s>", l->name);
		break;
	default:
		PUT(via, "<slot>");
	}
	if (!ret->folded[0])
		PUT(folded, "%s", ret->via);
}

bool ph_is_table(const struct ph_graph *g, uint32_t node)
{
	const ph_label_id *labels;
	unsigned values = 0, names = 0;
	uint64_t n;
	ph_graph_edges(g, node, &n);
	if (n < PH_TABLE_KEYS || !ph_graph_labels(g, node, &labels))
		return false;
	for (uint64_t e = 0; e < n && values < PH_TABLE_SAMPLE; e++) {
		struct ph_label label;
		if (PH_LABEL_ID_KIND(labels[e]) != PH_LABEL_VALUE)
			continue;
		ph_graph_label_text(g, labels[e], &label);
		values++;
		names += label.is_name;
	}
	return values >= PH_TABLE_KEYS && names * 2 < values;
}

/* ---- roots ------------------------------------------------------------------------ */

const char *ph_root_kind_text(unsigned kind)
{
	static const char *const texts[PH_ROOT_KINDS] = {
		[PH_ROOT_LOCAL] = "local", [PH_ROOT_STACK] = "stack", [PH_ROOT_MODULE] = "module",
		[PH_ROOT_INTERP] = "interpreter", [PH_ROOT_STATIC] = "static type",
		[PH_ROOT_IMMORTAL] = "immortal", [PH_ROOT_C] = "C",
	};
	return kind < PH_ROOT_KINDS ? texts[kind] : "?";
}

char *ph_root_name_text(const struct ph_graph *g, uint32_t root)
{
	if (root >= g->nroots)
		return strdup("");
	const struct ph_graph_root *r = &g->roots[root];
	if (r->frame >= g->nframes)
		return strdup(r->name);
	const struct ph_graph_frame *f = &g->frames[r->frame];
	const char *base = strrchr(f->file, '/');
	return ph_asprintf("%s%sin %s (%s:%u)", r->name, *r->name ? " " : "", f->function, base ? base + 1 : f->file,
			   f->line);
}

char *ph_path_root_text(const struct ph_graph *g, const struct ph_path *p)
{
	char *name ph_cleanup_free = ph_root_name_text(g, p->root);
	if (!name)
		return NULL;
	/* a holder of the interpreter's says itself what it is */
	if (p->kind == PH_ROOT_INTERP && *name)
		return strdup(name);
	return ph_asprintf("%s%s%s", ph_root_kind_text(p->kind), *name ? " " : "", name);
}
