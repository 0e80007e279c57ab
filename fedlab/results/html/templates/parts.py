"""The parts of a section, as Jinja macros."""

TEXT = r"""{% macro levels(counts) -%}
<span class="levels">{% for level, count in counts.items() %}<span class="level {{ level }}" title="{{ count }}">{{ level }}{% if counts|length > 1 %} <span class="count">{{ count }}</span>{% endif %}</span>{% endfor %}</span>
{%- endmacro %}

{% macro cell(value) -%}
{% if value is mapping %}{{ levels(value) }}{% else %}{{ value }}{% endif %}
{%- endmacro %}

{% macro rows(each) -%}
<div class="wide" tabindex="0" role="region" aria-label="{{ each.title }}">
<table>
<caption>{{ each.title }}{% if each.note %} <small>{{ each.note }}</small>{% endif %}</caption>
<thead><tr>{% for heading in each.headings %}<th scope="col"{% if loop.index0 >= each.words %} class="figure"{% endif %}>{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in each.rows %}
<tr>{% for value in row %}{% if loop.first %}<th scope="row">{{ cell(value) }}</th>{% else %}<td{% if loop.index0 >= each.words %} class="figure"{% endif %}>{{ cell(value) }}</td>{% endif %}{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
</div>
{%- endmacro %}

{% macro table(each) -%}
{% if each.folded %}<details id="{{ each.key }}"><summary>{{ each.title }}</summary>
{{ rows(each) }}
</details>{% else %}{{ rows(each) }}{% endif %}
{%- endmacro %}

{% macro figure(each) -%}
<figure id="figure-{{ each.key }}">
<div class="chart" role="img" aria-label="{{ each.summary }}" data-chart="{{ each.key }}"{% if each.chooser %} data-chosen-by="{{ each.chooser }}"{% endif %} style="min-height: {{ each.height }}px"></div>
<figcaption>{{ each.caption }}{% if each.levels %} {{ levels(each.levels) }}{% endif %}</figcaption>
</figure>
{%- endmacro %}

{% macro steps(each) -%}
<div class="steps" role="group" aria-label="{{ each.title }}">
<label for="round-choice">Round</label>
<select id="round-choice" data-rounds="{{ each.chart }}">{% for choice in each.choices %}<option value="{{ choice.key }}"{% if choice.key == each.chosen %} selected{% endif %}>{{ choice.title }}</option>{% endfor %}</select>
<button type="button" data-step="-1">Previous</button>
<button type="button" data-step="1">Next</button>
<button type="button" data-zoom="0.5">Zoom in</button>
<button type="button" data-zoom="2">Zoom out</button>
<button type="button" data-move="-0.5" aria-label="Move to earlier seconds">&larr;</button>
<button type="button" data-move="0.5" aria-label="Move to later seconds">&rarr;</button>
<button type="button" data-zoom="0">Whole round</button>
</div>
<p class="why" id="round-why" aria-live="polite"></p>
{%- endmacro %}
"""
