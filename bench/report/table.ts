/** Columns as wide as their widest cell; the first `left` stand left, numbers right. The last cell of a shorter row is free text. */
export function table(rows: readonly (readonly string[])[], left: number): string {
  const columns = rows[0].length;
  const isText = (row: readonly string[], column: number) => row.length < columns && column === row.length - 1;
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.map((row) => (isText(row, column) ? 0 : (row[column]?.length ?? 0)))),
  );
  const pad = (row: readonly string[], column: number) => {
    if (isText(row, column)) return row[column];
    return column < left ? row[column].padEnd(widths[column]) : row[column].padStart(widths[column]);
  };
  return rows
    .map((row) =>
      row
        .map((_, column) => pad(row, column))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
